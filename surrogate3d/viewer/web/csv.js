/** Comma-separated text by RFC 4180, and its download. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});

  /** Text that a spreadsheet would run as a formula; a sign before a number or a space is none. */
  const FORMULA = /^(?:[=@\t\r]|[+-](?![\d.\s]|Infinity))/;

  /**
   * One field: numbers with all their digits, nothing for null and NaN, quotes only where they are needed.
   * Names come from files of others, so text that a spreadsheet would run as a formula gets an apostrophe in front.
   * @param {string | number | boolean | null | undefined} value
   */
  function field(value) {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    let text = String(value);
    if (typeof value === "string" && FORMULA.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  /**
   * Rows as text, each ended by CR LF; the first row is the header.
   * @param {Array<Array<string | number | boolean | null | undefined>>} rows
   */
  function encode(rows) {
    return rows.map((row) => `${row.map(field).join(",")}\r\n`).join("");
  }

  /** A file name of a title: letters, digits and underscores. */
  function fileName(title) {
    const stem = title
      .normalize("NFKD")
      .replace(/[^\p{L}\p{N}]+/gu, "_")
      .replace(/^_+|_+$/g, "");
    return `${stem.slice(0, 80) || "table"}.csv`;
  }

  /** Hand rows to the reader as a file named after a title. */
  function download(title, rows) {
    const address = URL.createObjectURL(new Blob([encode(rows)], { type: "text/csv;charset=utf-8" }));
    const link = document.createElement("a");
    link.href = address;
    link.download = fileName(title);
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000); // the download has begun by then
  }

  /**
   * A button that downloads what `rows` returns when it is pressed.
   * @param {string} title names the file, and tells those who do not see where the button stands what it belongs to
   * @param {() => Array<Array<unknown>>} rows
   */
  function button(title, rows) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "s3d-csv";
    made.textContent = "CSV";
    made.title = "Download as comma-separated values";
    made.setAttribute("aria-label", `Download CSV: ${title}`);
    made.addEventListener("click", () => download(title, rows()));
    return made;
  }

  S3D.csv = { encode, fileName, download, button };
})();
