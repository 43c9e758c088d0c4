/** Statistics of volume histograms (D2, D50, D98, mean, V95) with their differences to one of the methods. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const STATISTICS = ["D2", "D50", "D98", "mean", "V95"];
  const ALSO_EXPORTED = ["min", "max"];
  const REFERENCES = ["reference", "direct"]; // methods that others are compared with, unless another is chosen
  const KINDS = { absolute: "absolute", percent: "%" };

  /** As Python labels it, with its unit: D2% of a dose, L2% of a LET. */
  const title = (name, curve) => S3D.charts.withUnit(curve.labels?.[name] ?? name, name === "V95" ? "%" : curve.unit);

  class HistogramStatistics {
    /** @param {{colour: (structure: string) => unknown, dash: (method: string) => string}} look of the curves */
    constructor(look) {
      this.look = look;
      this.kind = "absolute";
      this.element = S3D.charts.html("div");
    }

    /**
     * @param {object[]} curves all of one quantity
     * @param {object[]} shown those of them that are switched on
     */
    show(curves, shown) {
      Object.assign(this, { curves, shown });
      const methods = [...new Set(curves.map((c) => c.method))];
      const known = REFERENCES.find((name) => methods.includes(name)) ?? methods[0];
      if (!methods.includes(this.reference)) this.reference = known;
      this.compared = methods.length > 1;
      const controls = this.compared ? [this.#controls(methods)] : [];
      this.element.replaceChildren(...controls, this.#table(), ...this.#missing());
    }

    #table() {
      const { symbol } = this.curves[0];
      const caption = `Statistics of ${symbol}${this.compared ? `, with differences to ${this.reference}` : ""}`;
      return S3D.charts.table(
        caption,
        this.#header(),
        this.shown.map((c) => this.#row(c)),
        () => this.rows(),
      );
    }

    #missing() {
      const said = (c) => `${c.structure}, ${c.method}: ${c.n_missing} voxels have no value.`;
      const note = (c) => S3D.charts.html("p", { class: "s3d-note" }, said(c));
      return this.shown.filter((c) => c.n_missing > 0).map(note);
    }

    #header() {
      return ["structure", "method", ...STATISTICS.map((name) => title(name, this.curves[0])), "volume / cm3"];
    }

    #controls(methods) {
      const { html, choice, group } = S3D.charts;
      const again = (selector) => {
        this.show(this.curves, this.shown);
        this.element.querySelector(selector).focus(); // the control that was used was rebuilt
      };
      const refer = (event) => {
        this.reference = event.target.value;
        again("select");
      };
      const compare = (kind) => {
        this.kind = kind;
        again(`[data-value="${kind}"]`);
      };
      const options = methods.map((name) => html("option", { value: name, selected: name === this.reference }, name));
      const select = html("select", { "aria-label": "Differences to", onchange: refer }, options);
      const kinds = choice("as", Object.entries(KINDS), this.kind, compare);
      return html("div", { class: "s3d-switches" }, group("Differences to", [select]), kinds);
    }

    #partner(curve) {
      if (curve.method === this.reference) return null;
      return this.curves.find((c) => c.structure === curve.structure && c.method === this.reference) ?? null;
    }

    #difference(curve, name, relative) {
      const [mine, theirs] = [curve.statistics[name], this.#partner(curve)?.statistics[name]];
      if (!Number.isFinite(mine) || !Number.isFinite(theirs)) return null;
      return relative ? 100 * (mine / theirs - 1) : mine - theirs;
    }

    #row(curve) {
      const { swatch, number } = S3D.charts;
      const cell = (name) => ({ value: curve.statistics[name] ?? null, small: this.#printed(curve, name) });
      const mark = swatch(this.look.colour(curve.structure), this.look.dash(curve.method));
      const volume = { value: curve.volume_cm3, text: number(curve.volume_cm3, 3) };
      return [{ value: curve.structure, mark }, curve.method, ...STATISTICS.map(cell), volume];
    }

    /** A difference to as many decimals as the value has; shares of the volume differ by percentage points. */
    #printed(curve, name) {
      const { number, fixed } = S3D.charts;
      const relative = this.kind === "percent" && name !== "V95";
      const difference = this.#difference(curve, name, relative);
      if (difference === null) return null;
      if (relative) return `${fixed(difference, 2)} %`;
      if (name === "V95") return `${fixed(difference, 2)} pp`;
      return fixed(difference, (number(curve.statistics[name]).split(".")[1] ?? "").length);
    }

    /** What is shown and more, with all digits: one row a curve. */
    rows() {
      const [first] = this.curves;
      const extra = ["voxels", "voxels without a value", ...ALSO_EXPORTED.map((name) => title(name, first))];
      const compared = this.compared
        ? ["differences to", ...this.#differenceColumns().map((column) => column.title)]
        : [];
      return [[...this.#header(), ...extra, ...compared], ...this.shown.map((c) => this.#exported(c))];
    }

    #exported(curve) {
      const { structure, method, statistics, volume_cm3: volume, n_voxels: voxels, n_missing: missing } = curve;
      const plain = [structure, method, ...STATISTICS.map((name) => statistics[name]), volume, voxels, missing];
      const limits = ALSO_EXPORTED.map((name) => statistics[name]);
      const differences = this.#differenceColumns().map(({ name, relative }) =>
        this.#difference(curve, name, relative),
      );
      const compared = this.compared ? [this.#partner(curve) ? this.reference : "", ...differences] : [];
      return [...plain, ...limits, ...compared];
    }

    /** In the unit, and relative where that has a meaning. */
    #differenceColumns() {
      const [first] = this.curves;
      const absolute = (name) => ({ name, relative: false, title: `difference of ${title(name, first)}` });
      const relative = (name) => ({
        name,
        relative: true,
        title: `difference of ${first.labels?.[name] ?? name} / percent`,
      });
      return STATISTICS.flatMap((name) => (name === "V95" ? [absolute(name)] : [absolute(name), relative(name)]));
    }
  }

  S3D.HistogramStatistics = HistogramStatistics;
})();
