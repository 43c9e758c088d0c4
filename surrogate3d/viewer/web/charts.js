/** What all charts share: elements, numbers, colours, cards; and `mount`, which builds the charts of a scene. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const SVG = "http://www.w3.org/2000/svg";
  const SHEETS = { light: "#ffffff", dark: "#1e1d1b" };
  const LEGIBLE = 4.5; // contrast of WCAG 2.2 AA for text: lines have it too, as their names stand in their colour
  const HUES = ["#1259a3", "#bf4a06", "#00776a", "#7c4aa5", "#8c6900", "#ab2f5d", "#3f7d20", "#49607a"];
  const DARK_HUES = ["#74b6f5", "#f39a55", "#52c7b4", "#c3a0e8", "#dcbc45", "#f08bb0", "#93cd72", "#a5b9cf"]; // on dark
  const DASHES = ["none", "7 4", "2 3", "9 3 2 3", "14 4", "5 2 2 2 2 2"];
  const SUPERSCRIPTS = { "-": "\u207b", 1: "\u00b9", 2: "\u00b2", 3: "\u00b3" };

  function build(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name.startsWith("--")) element.style.setProperty(name, value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }

  /** An HTML element; `onclick` and the like listen, `--name` sets a CSS variable, children are nodes or text. */
  const html = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);

  /** The same in SVG. */
  const svg = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

  /** A number for readers: significant digits, the typographic minus, a dash where there is none. */
  function number(value, digits = 4) {
    if (typeof value !== "number" || Number.isNaN(value)) return "\u2013";
    if (!Number.isFinite(value)) return value > 0 ? "\u221e" : "\u2212\u221e";
    return plain(value, digits).replace("e+", "e").replace(/-/g, "\u2212");
  }

  function plain(value, digits) {
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size < 1e-3 || size >= 1e6) return value.toExponential(digits - 1);
    const text = value.toPrecision(digits);
    return text.includes("e") ? value.toFixed(0) : text; // never fewer digits than stand before the point
  }

  /** With its sign, as differences are read. */
  const signed = (value, digits = 3) => (value > 0 ? "+" : "") + number(value, digits);

  /** A difference to a number of decimals; what rounds to zero has no sign. */
  function fixed(value, decimals) {
    const text = value.toFixed(decimals).replace("-", "\u2212");
    if (Number(value.toFixed(decimals)) === 0) return (0).toFixed(decimals);
    return value > 0 ? `+${text}` : text;
  }

  /** Units as they are printed: keV/um is keV/µm, 1/Gy^2 is 1/Gy²; "" for a pure number. */
  function unit(text) {
    if (!text || text === "1") return "";
    const raised = (_, minus, n) => (minus ? SUPERSCRIPTS["-"] : "") + SUPERSCRIPTS[n];
    return text.replace(/\bum\b/g, "\u00b5m").replace(/\^(-?)([123])/g, raised);
  }

  /** Symbol and unit: "LET_d / (keV/µm)" needs its brackets, "D_RBE / Gy (RBE)" does not. */
  function label(symbol, ofUnit) {
    const printed = unit(ofUnit);
    return printed ? `${symbol} / ${printed.includes("/") ? `(${printed})` : printed}` : symbol;
  }

  /** The same as programs write it, for the header of a CSV file: "LET_d / keV/um". */
  const withUnit = (name, ofUnit) => (ofUnit && ofUnit !== "1" ? `${name} / ${ofUnit}` : name);

  /** Text in which the first "_x" is a subscript, as nodes of `make` (html or svg). */
  function symbolNodes(text, make = html) {
    const found = /^(.*?[A-Za-z])_(\w+)(.*)$/s.exec(text);
    if (!found) return [text];
    const [, stem, low, rest] = found;
    if (make === html) return [stem, html("sub", {}, low), rest];
    return [
      stem,
      svg("tspan", { dy: "0.25em", class: "s3d-low" }, low),
      svg("tspan", { dy: "-0.2em" }, rest || "\u200b"),
    ];
  }

  const channels = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));

  /** Relative luminance as WCAG 2.2 defines it. */
  function luminance(hex) {
    const [r, g, b] = channels(hex).map((c) =>
      c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  /** Contrast ratio of two colours, 1 to 21. */
  function contrast(a, b) {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  }

  /** The colour, moved towards black or white until it can be read on the sheet. */
  function legible(hex, sheet) {
    const end = luminance(sheet) > 0.5 ? 0 : 255;
    for (let share = 0; share < 1; share += 0.05) {
      const moved = channels(hex).map((c) => Math.round(c + share * (end - c)));
      const candidate = `#${moved.map((c) => c.toString(16).padStart(2, "0")).join("")}`;
      if (contrast(candidate, sheet) >= LEGIBLE) return candidate;
    }
    return end ? "#ffffff" : "#000000";
  }

  /** CSS variables of a line's colour on light and dark sheets: of a "#rrggbb" or of a place in the palette. */
  function ink(colour) {
    if (typeof colour === "number")
      return { "--light": HUES[colour % HUES.length], "--dark": DARK_HUES[colour % HUES.length] };
    return { "--light": legible(colour, SHEETS.light), "--dark": legible(colour, SHEETS.dark) };
  }

  /** A short piece of the line that a name stands for. */
  function swatch(colour, dash) {
    const line = svg("line", { x1: 1, y1: 6, x2: 27, y2: 6, class: "s3d-line", "stroke-dasharray": dash });
    return svg(
      "svg",
      {
        class: "s3d-swatch s3d-ink",
        width: 28,
        height: 12,
        "aria-hidden": "true",
        ...(colour === null ? {} : ink(colour)),
      },
      line,
    );
  }

  /** A button that is on or off. `change(on)` is called when it is pressed. */
  function toggle(content, on, change) {
    const made = html("button", { type: "button", class: "s3d-toggle", "aria-pressed": String(on) }, content);
    made.addEventListener("click", () => {
      const now = made.getAttribute("aria-pressed") !== "true";
      made.setAttribute("aria-pressed", String(now));
      change(now);
    });
    return made;
  }

  /** Buttons of which one is on. `choices` is [[value, content], ...]. */
  function choice(name, choices, chosen, change) {
    const buttons = choices.map(([value, content]) =>
      html(
        "button",
        {
          type: "button",
          class: "s3d-toggle",
          "aria-pressed": String(value === chosen),
          "data-value": value,
          onclick: () => press(value),
        },
        content,
      ),
    );
    function press(value) {
      for (const each of buttons) each.setAttribute("aria-pressed", String(each.dataset.value === value));
      change(value);
    }
    return group(name, buttons);
  }

  /** Controls that belong together, with their name in front. */
  const group = (name, controls, kind = "") =>
    html(
      "div",
      { class: `s3d-group ${kind}`, role: "group", "aria-label": name },
      html("span", { class: "s3d-group-name", "aria-hidden": "true" }, name),
      controls,
    );

  /** A titled box; `.body` is what to fill. */
  function card(title, ...tools) {
    const body = html("div", { class: "s3d-card-body" });
    const head = html("div", { class: "s3d-card-head" }, html("h3", {}, symbolNodes(title)), tools);
    return Object.assign(html("section", { class: "s3d-card", "aria-label": title }, head, body), { body });
  }

  /**
   * A table with a caption, a CSV button and row headers. A cell is text, a number, or {value, text, small}.
   * @param {string} caption
   * @param {string[]} header
   * @param {Array<Array<unknown>>} rows
   * @param {(() => unknown[][]) | null} csv what to export; the cells' own values when absent
   */
  function table(caption, header, rows, csv = null) {
    const value = (cell) => (cell !== null && typeof cell === "object" ? cell.value : cell);
    const exported = csv ?? (() => [header, ...rows.map((row) => row.map(value))]);
    const side = (column) => (column > 0 && typeof value(rows[0]?.[column]) === "string" ? "s3d-text" : null);
    const head = html(
      "thead",
      {},
      html(
        "tr",
        {},
        header.map((name, c) => html("th", { scope: "col", class: side(c) }, headerNodes(name))),
      ),
    );
    const body = html(
      "tbody",
      {},
      rows.map((row) =>
        html(
          "tr",
          {},
          row.map((content, c) => tableCell(content, c)),
        ),
      ),
    );
    // The span stays in view while the table scrolls.
    const title = html("span", {}, symbolNodes(caption), " ", S3D.csv.button(caption, exported));
    const made = html("table", { class: "s3d-table" }, html("caption", {}, title), head, body);
    return html("div", { class: "s3d-scroll", tabindex: "0", role: "region", "aria-label": caption }, made);
  }

  /** "alpha / (1/Gy)": the unit stands below the name, as people print it. */
  function headerNodes(name) {
    const [, stem, of] = /^(.*?) \/ (.*)$/s.exec(name) ?? [null, name, null];
    return [...symbolNodes(stem), ...(of ? [html("small", {}, ` / ${unit(of)}`)] : [])];
  }

  function tableCell(content, column) {
    const cell = content !== null && typeof content === "object" ? content : { value: content };
    const text = cell.text ?? (typeof cell.value === "string" ? cell.value : number(cell.value));
    const kind = column === 0 ? "th" : "td";
    const known = typeof cell.value === "number" && Number.isFinite(cell.value);
    const attributes = {
      scope: column === 0 ? "row" : null,
      "data-value": known ? cell.value : null,
      class: typeof cell.value === "string" ? "s3d-text" : null,
    };
    return html(kind, attributes, cell.mark ?? null, text, cell.small ? html("small", {}, cell.small) : null);
  }

  /** The element on which viewer and panels tell each other of voxels. */
  const stage = (root) => root.closest(".s3d") ?? root;

  /**
   * Build the charts that the scene has data for: histograms and depth profiles. They follow "s3d:scene".
   * @param {HTMLElement} root
   * @param {{scene: object}} source
   * @returns {{histograms: object | null, profiles: object | null, update: (parts: object) => void}}
   */
  function mount(root, source) {
    const place = html("div", { class: "s3d-charts" });
    const made = { histograms: null, profiles: null, update };
    const kinds = { histograms: S3D.HistogramChart, profiles: S3D.ProfileChart };

    function update(parts) {
      for (const [kind, Chart] of Object.entries(kinds)) {
        if (made[kind] && parts[kind]) made[kind].replace(parts[kind]);
        else if (parts[kind]?.length) made[kind] = new Chart(place, { ...source.scene, ...parts }, stage(root));
      }
      if (place.children.length && !place.parentElement) root.append(place);
    }

    update(source.scene);
    stage(root).addEventListener("s3d:scene", (event) => update(event.detail));
    return made;
  }

  S3D.charts = {
    DASHES,
    html,
    svg,
    number,
    signed,
    fixed,
    unit,
    label,
    withUnit,
    symbolNodes,
    contrast,
    legible,
    ink,
    swatch,
    toggle,
    choice,
    group,
    card,
    table,
    stage,
    mount,
  };
})();
