/** Adds a "CSV" button to every table of a page that has a caption. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});

  const clean = (text) => text.replace(/\s+/g, " ").trim();

  /**
   * What a cell says: its `data-value` where it has one, else its text; a number with the typographic minus
   * becomes one that programs read.
   */
  function said(cell) {
    if (cell.dataset.value !== undefined) return cell.dataset.value;
    const text = clean(cell.textContent);
    const plain = text.replace(/^\u2212(?=[\d.])/, "-");
    return Number.isFinite(Number(plain)) ? plain : text;
  }

  /** Rows of texts in which cells over several columns or rows are repeated. */
  function spread(rows) {
    const grid = rows.map(() => []);
    rows.forEach((row, r) => {
      let c = 0;
      for (const cell of row.cells) {
        while (grid[r][c] !== undefined) c += 1;
        const down = cell.rowSpan === 0 ? rows.length : cell.rowSpan; // 0 is "to the end", as HTML has it
        for (let dr = 0; dr < down && r + dr < rows.length; dr += 1)
          for (let dc = 0; dc < cell.colSpan; dc += 1) grid[r + dr][c + dc] = said(cell);
        c += cell.colSpan;
      }
    });
    return grid.map((row) => Array.from(row, (text) => text ?? ""));
  }

  /** Several header rows as one: "Dose" above "bias / %" becomes "Dose bias / %". */
  function joined(rows) {
    if (!rows.length) return [];
    return [rows[0].map((_, c) => clean([...new Set(rows.map((row) => row[c] ?? ""))].join(" ")))];
  }

  /**
   * Header and body of a table.
   * @param {HTMLTableElement} table
   * @returns {string[][]}
   */
  function rowsOf(table) {
    const body = [...table.rows].filter((row) => row.parentElement !== table.tHead);
    return [...joined(spread([...(table.tHead?.rows ?? [])])), ...spread(body)];
  }

  /**
   * Give every table with a caption its button, once.
   * @param {Document | Element} scope
   * @returns {number} tables that got one
   */
  function enhance(scope) {
    const bare = [...scope.querySelectorAll("table")].filter(
      (t) => t.caption && !t.querySelector(":scope > caption .s3d-csv"),
    );
    for (const table of bare) {
      const title = clean(table.caption.textContent);
      table.caption.append(
        " ",
        S3D.csv.button(title, () => rowsOf(table)),
      );
    }
    return bare.length;
  }

  S3D.tables = { enhance, rowsOf };
})();
