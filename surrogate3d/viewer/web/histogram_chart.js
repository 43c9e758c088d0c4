/** Cumulative volume histograms (DVH, LVH): one colour per structure, one dash per method, read by level or volume. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const MANY = 8; // curves: with more than these, the first structures alone are shown at first
  const AT_FIRST = 4;
  const READ = { x: "by level", y: "by volume" };

  /**
   * Volume in % that has at least a level; straight lines between the points of the curve.
   * @param {{levels: number[], volume_percent: number[]}} curve levels ascend, volumes descend
   */
  function volumeAt(curve, level) {
    const { levels, volume_percent: volumes } = curve;
    const right = levels.findIndex((l) => l >= level);
    if (right < 0) return 0;
    if (right === 0 || levels[right] === level) return right === 0 && level < levels[0] ? 100 : volumes[right];
    const t = (level - levels[right - 1]) / (levels[right] - levels[right - 1]);
    return volumes[right - 1] + t * (volumes[right] - volumes[right - 1]);
  }

  /** Largest level that at least this share of the volume has; null above what the curve reaches. */
  function levelAt(curve, volume) {
    const { levels, volume_percent: volumes } = curve;
    let left = -1;
    for (let n = 0; n < levels.length; n += 1) if (volumes[n] >= volume) left = n;
    if (left < 0) return null;
    if (left === levels.length - 1) return levels[left];
    const t = (volumes[left] - volume) / (volumes[left] - volumes[left + 1]);
    return levels[left] + t * (levels[left + 1] - levels[left]);
  }

  /** A share of the volume in cm3; null where voxels have no value, as shares are of the others. */
  const volumeOf = (curve, percent) => (curve.n_missing > 0 ? null : (percent / 100) * curve.volume_cm3);

  class HistogramChart {
    /**
     * @param {HTMLElement} place
     * @param {object} scene manifest with `histograms` and `structures`
     */
    constructor(place, scene) {
      this.scene = scene;
      this.curves = scene.histograms;
      this.quantity = this.curves[0].quantity;
      this.along = "x";
      [this.structures, this.methods, this.known] = [new Set(), new Set(), new Set()];
      const { html, card } = S3D.charts;
      this.card = card(
        "Volume histograms",
        S3D.csv.button("Volume histograms", () => this.rows()),
      );
      this.controls = html("div", { class: "s3d-switches" });
      this.readings = html("div", { class: "s3d-readings" });
      const look = { colour: (structure) => this.#colour(structure), dash: (method) => this.#dash(method) };
      this.statistics = new S3D.HistogramStatistics(look);
      this.plot = new S3D.Plot({ ...this.#axes(), label: "", draw: (frame) => this.#draw(frame), read: this.#read() });
      const split = html("div", { class: "s3d-split" }, this.plot.element, this.readings);
      this.card.body.append(this.controls, split, this.statistics.element);
      place.append(this.card);
      this.#build();
    }

    /** Show other curves, as after a change of fraction dose; what was switched on stays on. */
    replace(histograms) {
      this.card.hidden = histograms.length === 0;
      if (this.card.hidden) return;
      this.curves = histograms;
      if (!histograms.some((c) => c.quantity === this.quantity)) this.quantity = histograms[0].quantity;
      this.#build();
    }

    /** All curves of the quantity that is shown, one row a point. */
    rows() {
      const [first] = this.#ofQuantity();
      const header = [
        "structure",
        "method",
        S3D.charts.withUnit(first.symbol, first.unit),
        "volume / %",
        "volume / cm3",
      ];
      const row = (c, n) => [c.structure, c.method, c.levels[n], c.volume_percent[n], volumeOf(c, c.volume_percent[n])];
      return [header, ...this.#ofQuantity().flatMap((c) => c.levels.map((_, n) => row(c, n)))];
    }

    #ofQuantity() {
      return this.curves.filter((c) => c.quantity === this.quantity);
    }

    #names(key) {
      return [...new Set(this.#ofQuantity().map((c) => c[key]))];
    }

    #shown() {
      return this.#ofQuantity().filter((c) => this.structures.has(c.structure) && this.methods.has(c.method));
    }

    /** Switch on what is new: all methods, and all structures unless they are many. */
    #switchOn() {
      const [names, methods] = [this.#names("structure"), this.#names("method")];
      const few = names.length * methods.length <= MANY || this.known.size > 0;
      for (const name of few ? names : names.slice(0, AT_FIRST))
        if (!this.known.has(`structure ${name}`)) this.structures.add(name);
      for (const name of methods) if (!this.known.has(`method ${name}`)) this.methods.add(name);
      for (const name of names) this.known.add(`structure ${name}`);
      for (const name of methods) this.known.add(`method ${name}`);
    }

    #colour(structure) {
      const given = this.scene.structures?.find((s) => s.name === structure)?.colour;
      return /^#[0-9a-f]{6}$/i.test(given ?? "")
        ? given
        : [...new Set(this.curves.map((c) => c.structure))].indexOf(structure);
    }

    #dash(method) {
      const { DASHES } = S3D.charts;
      return DASHES[this.#names("method").indexOf(method) % DASHES.length];
    }

    #axes() {
      const [first] = this.#ofQuantity();
      const least = Math.min(0, ...this.#ofQuantity().map((c) => c.levels[0]));
      const most = Math.max(...this.#ofQuantity().map((c) => c.levels.at(-1)));
      return {
        x: { title: S3D.charts.label(first.symbol, first.unit), domain: [least, S3D.axes.roundUp(most)] },
        y: { title: "Volume with at least this / %", domain: [0, 100] },
      };
    }

    #read() {
      return {
        along: this.along,
        say: (value) => this.#say(value),
        marks: (value) =>
          this.#shown().map((c) => ({ ...this.#mark(c, value), ink: S3D.charts.ink(this.#colour(c.structure)) })),
        changed: (value) => this.#showReadings(value),
      };
    }

    #mark(curve, value) {
      return this.along === "x" ? { x: value, y: volumeAt(curve, value) } : { x: levelAt(curve, value), y: value };
    }

    #draw(frame) {
      for (const c of this.#shown()) {
        const levels = [...c.levels, c.levels.at(-1)]; // nothing has more than the largest: the curve falls to zero
        const volumes = [...c.volume_percent, 0];
        frame.line(levels, volumes, S3D.charts.ink(this.#colour(c.structure)), this.#dash(c.method));
      }
    }

    /** Everything anew: after a switch of the quantity or other curves. */
    #build() {
      this.#switchOn();
      this.#buildControls();
      const [first] = this.#ofQuantity();
      this.plot.reading = this.along === "x" ? (first.statistics.D50 ?? null) : 50;
      this.plot.update({
        ...this.#axes(),
        read: this.#read(),
        label: `Volume histogram of ${first.symbol}. Arrow keys move the reading line.`,
      });
      this.statistics.show(this.#ofQuantity(), this.#shown());
    }

    #redraw() {
      this.plot.update({ read: this.#read() });
      this.statistics.show(this.#ofQuantity(), this.#shown());
    }

    #buildControls() {
      const { group, choice } = S3D.charts;
      const quantities = new Map(
        this.curves.map((c) => [c.quantity, S3D.charts.html("span", {}, S3D.charts.symbolNodes(c.symbol))]),
      );
      const switchTo = (name) => {
        this.quantity = name;
        this.#build();
        this.controls.querySelector(`[data-value="${CSS.escape(name)}"]`)?.focus(); // the pressed button was rebuilt
      };
      this.controls.replaceChildren(
        ...(quantities.size > 1 ? [choice("Quantity", [...quantities], this.quantity, switchTo)] : []),
        group("Structures", [...this.#toggles("structure", this.structures), this.#allButton()], "s3d-key"),
        group("Methods", this.#toggles("method", this.methods), "s3d-key"),
        choice("Read", Object.entries(READ), this.along, (along) => this.#readBy(along)),
      );
    }

    #toggles(key, on) {
      const { swatch, toggle, html } = S3D.charts;
      const mark = (name) =>
        key === "structure" ? swatch(this.#colour(name), "none") : swatch(null, this.#dash(name));
      const change = (name) => (now) => {
        if (now) on.add(name);
        else on.delete(name);
        const all = this.structures.size === this.#names("structure").length;
        this.controls.querySelector(".s3d-all")?.setAttribute("aria-pressed", String(all));
        this.#redraw();
      };
      return this.#names(key).map((name) => toggle([mark(name), html("span", {}, name)], on.has(name), change(name)));
    }

    /** Where structures are many: one press for all of them. */
    #allButton() {
      const names = this.#names("structure");
      if (names.length <= AT_FIRST) return null;
      const change = (on) => {
        this.structures = new Set(on ? names : []);
        this.#buildControls();
        this.#redraw();
        this.controls.querySelector(".s3d-all").focus(); // the pressed button was rebuilt
      };
      const made = S3D.charts.toggle(
        "all",
        names.every((name) => this.structures.has(name)),
        change,
      );
      made.classList.add("s3d-all");
      return made;
    }

    #readBy(along) {
      this.along = along;
      this.plot.reading = along === "x" ? (this.#ofQuantity()[0].statistics.D50 ?? null) : 50;
      this.plot.update({ read: this.#read() });
    }

    /** What a curve says at the reading line: in short, and what stands below it. */
    #reading(curve, value) {
      const { number, unit } = S3D.charts;
      if (this.along === "y") return [`${number(levelAt(curve, value))} ${unit(curve.unit)}`, null];
      const share = volumeAt(curve, value);
      const volume = volumeOf(curve, share);
      return [`${share.toFixed(1)} %`, volume === null ? null : `${number(volume, 3)} cm\u00b3`];
    }

    #where(value) {
      const [first] = this.#ofQuantity();
      if (this.along === "y") return `The hottest ${S3D.charts.number(value, 3)} % of the volume has at least`;
      return `Volume with ${first.symbol} of at least ${S3D.charts.number(value, 3)} ${S3D.charts.unit(first.unit)}`;
    }

    #say(value) {
      const parts = this.#shown().map((c) => `${c.structure}, ${c.method}: ${this.#reading(c, value)[0]}`);
      return `${this.#where(value)}: ${parts.join("; ") || "no curve is switched on"}`;
    }

    /** A table of structures by methods: short to look at, and both can be compared. */
    #showReadings(value) {
      const { html, swatch, symbolNodes } = S3D.charts;
      const shown = this.#shown();
      const [structures, methods] = ["structure", "method"].map((key) => [...new Set(shown.map((c) => c[key]))]);
      const head = methods.map((name) =>
        html("th", { scope: "col" }, swatch(null, this.#dash(name)), html("div", {}, name)),
      );
      const row = (structure) =>
        html(
          "tr",
          {},
          html("th", { scope: "row" }, swatch(this.#colour(structure), "none"), structure),
          methods.map((method) =>
            this.#readingCell(
              shown.find((c) => c.structure === structure && c.method === method),
              value,
            ),
          ),
        );
      const table = html(
        "table",
        { class: "s3d-table" },
        html("thead", {}, html("tr", {}, html("td"), head)),
        html("tbody", {}, structures.map(row)),
      );
      this.readings.replaceChildren(
        html("p", {}, symbolNodes(this.#where(value))),
        html("div", { class: "s3d-scroll" }, table),
      );
    }

    #readingCell(curve, value) {
      const { html } = S3D.charts;
      if (!curve) return html("td", {}, "\u2013");
      const [text, small] = this.#reading(curve, value);
      return html("td", {}, text, small ? html("small", {}, small) : null);
    }
  }

  S3D.HistogramChart = HistogramChart;
  S3D.histograms = { volumeAt, levelAt };
})();
