/** Spectrum of one voxel by fluence, dose or effect, and the bins that drove the effect. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const LARGEST = 5;
  const DECADES = 1e-4; // how far a logarithmic share axis goes below its largest value
  const SHARES = { fluence: "fluence", dose: "dose", effect: "effect" };

  /** Lower edge for a logarithmic axis: a bin that starts at zero is drawn over a factor of two. */
  const drawn = (low, high) => (low > 0 ? low : high / 2);
  const centre = (bin) => Math.sqrt(drawn(bin.low, bin.high) * bin.high);
  /** One decimal, and more where that would be a zero. */
  const percent = (share) => (share < 0.0095 ? S3D.charts.number(100 * share, 2) : (100 * share).toFixed(1));

  class SpectrumChart {
    constructor(place) {
      Object.assign(this, { weight: "dose", log: false, dose: 2 });
      const { html, card } = S3D.charts;
      this.card = card(
        "Spectrum and what drove the effect",
        S3D.csv.button("Spectrum", () => this.rows()),
      );
      this.legend = html("ul", { class: "s3d-legend" });
      this.readings = html("div", { class: "s3d-readings" });
      this.drivers = html("div", { class: "s3d-drivers" });
      this.message = html("p", { class: "s3d-note", role: "status" });
      this.place = html("div");
      this.card.body.append(this.#controls(), this.message, this.legend, this.place, this.readings, this.drivers);
      place.append(this.card);
    }

    /**
     * @param {object} bins `scene.voxels.bins`, which change with the cell line
     * @param {number[][] | null} spectrum fluence per species and bin
     * @param {(dose: number) => number | null} predicted -ln S of the prediction at a dose
     */
    show(bins, spectrum, predicted) {
      Object.assign(this, { bins, spectrum, predicted });
      this.#refresh();
    }

    /** All bins with fluence: edges, shares, alpha and beta. */
    rows() {
      const { number } = S3D.charts;
      const at = `share of effect at ${number(this.dose, 3)} Gy / %`;
      const header = [
        "species",
        "energy from / (MeV/u)",
        "energy to / (MeV/u)",
        "share of fluence / %",
        "share of dose / %",
        at,
        "alpha / (1/Gy)",
        "beta / (1/Gy^2)",
      ];
      return [
        header,
        ...(this.found?.bins ?? []).map((b) => [
          b.species,
          b.low,
          b.high,
          100 * b.fluence,
          100 * b.dose,
          100 * b.effect,
          b.alpha,
          b.beta,
        ]),
      ];
    }

    #controls() {
      const { html, choice, toggle, group } = S3D.charts;
      const weights = Object.entries(SHARES).map(([key, name]) => [key, name]);
      const input = html("input", {
        type: "number",
        min: "0.1",
        max: "50",
        step: "0.1",
        value: this.dose,
        "aria-label": "Dose of the effect in Gy",
      });
      input.addEventListener("input", () => this.#doseTyped(input));
      const logarithmic = toggle("log", false, (on) => {
        this.log = on;
        this.#refresh();
      });
      const weigh = (weight) => {
        this.weight = weight;
        this.#refresh();
      };
      return html(
        "div",
        { class: "s3d-switches" },
        choice("Share of", weights, this.weight, weigh),
        group("Scale", [logarithmic]),
        group("Effect at", [input, html("span", {}, "Gy")]),
      );
    }

    #doseTyped(input) {
      const dose = Number(input.value);
      const valid = dose > 0 && Number.isFinite(dose);
      input.setAttribute("aria-invalid", String(!valid));
      if (!valid) return;
      this.dose = dose;
      this.#refresh();
    }

    #refresh() {
      const empty = (text) => {
        this.found = null;
        this.message.textContent = text;
        for (const part of [this.legend, this.readings, this.drivers]) part.replaceChildren();
        this.place.hidden = true;
      };
      if (!this.spectrum) return empty("No spectrum is known of this voxel.");
      try {
        this.found = S3D.survival.shares(this.bins, this.spectrum, this.dose);
      } catch (error) {
        return empty(`The shares cannot be computed: ${error.message}.`);
      }
      if (!this.found) return empty("The spectrum of this voxel is empty.");
      this.message.textContent = "";
      this.place.hidden = false;
      this.species = S3D.survival.bySpecies(this.found.bins);
      this.#drawPlot();
      this.#buildLegend();
      return this.#buildDrivers();
    }

    #drawPlot() {
      const spec = {
        ...this.#axes(),
        draw: (frame) => this.#draw(frame),
        read: this.#read(),
        label: "Spectrum by energy. Arrow keys move the reading line from bin to bin.",
      };
      if (this.plot) return this.plot.update(spec);
      this.plot = new S3D.Plot(spec);
      this.place.append(this.plot.element);
      return this.plot.draw();
    }

    #axes() {
      const { bins } = this.found;
      const energies = [Math.min(...bins.map((b) => drawn(b.low, b.high))), Math.max(...bins.map((b) => b.high))];
      const shown = this.weight === "effect" ? ["effect", "dose"] : [this.weight];
      const most = 100 * Math.max(...bins.flatMap((b) => shown.map((key) => b[key])));
      const shares = this.log
        ? { domain: [most * DECADES, most * 1.3], log: true }
        : { domain: [0, S3D.axes.roundUp(most * 1.05)] };
      return {
        x: { title: "Kinetic energy / (MeV/u)", domain: energies, log: true },
        y: { title: `Share of ${SHARES[this.weight]} per bin / %`, ...shares },
      };
    }

    #colour(species) {
      return this.bins.species.indexOf(species);
    }

    #dash(species) {
      const { DASHES } = S3D.charts;
      return DASHES[this.#colour(species) % DASHES.length];
    }

    #draw(frame) {
      for (const species of this.bins.species) {
        const s = this.#colour(species);
        const edges = this.bins.edges_mev_u[s].map((e, n, all) => drawn(e, all[n + 1]));
        const of = (key) => this.#onBins(species, key);
        const [ink, dash] = [S3D.charts.ink(s), this.#dash(species)];
        this.#fill(frame, edges, of(this.weight), ink);
        frame.steps(edges, of(this.weight), ink, dash);
        if (this.weight === "effect") frame.steps(edges, of("dose"), ink, "1 3", "s3d-thin");
      }
    }

    #fill(frame, edges, values, ink) {
      const xs = values.flatMap((_, n) => [edges[n], edges[n + 1]]);
      const tops = values.flatMap((v) => [v, v]);
      const floor = this.plot?.spec.y.domain[0] ?? 0;
      frame.band(
        xs,
        tops.map((v) => (v === null ? null : floor)),
        tops,
        ink,
        "s3d-wash",
      );
    }

    /** Share in % of every bin of a species; null on a logarithmic axis where there is nothing. */
    #onBins(species, key) {
      const values = this.bins.edges_mev_u[this.#colour(species)].slice(1).map(() => (this.log ? null : 0));
      const edges = this.bins.edges_mev_u[this.#colour(species)];
      for (const b of this.found.bins.filter((each) => each.species === species))
        values[edges.indexOf(b.low)] = 100 * b[key];
      return values;
    }

    #read() {
      const stops = [...new Set(this.found.bins.map((b) => centre(b)))].sort((a, b) => a - b);
      return {
        along: "x",
        stops,
        start: stops[Math.floor(stops.length / 2)],
        say: (energy) => this.#say(energy),
        changed: (energy) => this.#showReadings(energy),
      };
    }

    #holding(energy) {
      return this.found.bins.filter((b) => b.low <= energy && energy < b.high);
    }

    #range(bin) {
      return `${S3D.charts.number(bin.low, 3)} to ${S3D.charts.number(bin.high, 3)} MeV/u`;
    }

    #say(energy) {
      const said = (b) =>
        `${b.species}, ${this.#range(b)}: ${Object.entries(SHARES)
          .map(([key, name]) => `${name} ${percent(b[key])} %`)
          .join(", ")}`;
      return this.#holding(energy).map(said).join("; ") || "no fluence";
    }

    /** The shares of the bin of each species. */
    #showReadings(energy) {
      const { html, swatch } = S3D.charts;
      const found = this.#holding(energy);
      const head = Object.values(SHARES).map((name) => html("th", { scope: "col" }, name, html("small", {}, " / %")));
      const row = (b) =>
        html(
          "tr",
          {},
          html("th", { scope: "row" }, swatch(this.#colour(b.species), this.#dash(b.species)), b.species),
          Object.keys(SHARES).map((key) => html("td", {}, percent(b[key]))),
        );
      const table = html(
        "table",
        { class: "s3d-table" },
        html("thead", {}, html("tr", {}, html("td"), head)),
        html("tbody", {}, found.map(row)),
      );
      this.readings.replaceChildren(
        html("p", {}, found.length ? `Share of one bin, ${this.#range(found[0])}` : "No fluence"),
        html("div", { class: "s3d-scroll" }, table),
      );
    }

    #buildLegend() {
      const { html, swatch, svg } = S3D.charts;
      const item = (s) =>
        html(
          "li",
          {},
          swatch(this.#colour(s.species), this.#dash(s.species)),
          `${s.species} ${percent(s[this.weight])} %`,
        );
      const thin = svg(
        "svg",
        { class: "s3d-swatch", width: 28, height: 12, "aria-hidden": "true" },
        svg("line", { x1: 1, y1: 6, x2: 27, y2: 6, class: "s3d-line s3d-thin", "stroke-dasharray": "1 3" }),
      );
      const beside = this.weight === "effect" ? [html("li", {}, thin, "dotted: share of dose")] : [];
      this.legend.replaceChildren(...this.species.map(item), ...beside);
    }

    #buildDrivers() {
      const { html, table } = S3D.charts;
      const dose = S3D.charts.number(this.dose, 3);
      const largest = [...this.found.bins].sort((a, b) => b.effect - a.effect).slice(0, LARGEST);
      const shares = (entry) =>
        ["dose", "effect"].map((key) => ({ value: 100 * entry[key], text: percent(entry[key]) }));
      const ratio = (entry) => ({ value: entry.effect / entry.dose, text: (entry.effect / entry.dose).toFixed(2) });
      const columns = ["share of dose / %", "share of effect / %", "effect over dose"];
      const bins = table(
        `The ${largest.length} bins with the largest share of the effect at ${dose} Gy`,
        ["species", "energy / (MeV/u)", ...columns, "alpha / (1/Gy)"],
        largest.map((b) => [
          b.species,
          `${S3D.charts.number(b.low, 3)} to ${S3D.charts.number(b.high, 3)}`,
          ...shares(b),
          ratio(b),
          { value: b.alpha, text: S3D.charts.number(b.alpha, 3) },
        ]),
      );
      const species = table(
        `Shares of the species at ${dose} Gy`,
        ["species", "share of fluence / %", ...columns],
        this.species.map((s) => [
          s.species,
          { value: 100 * s.fluence, text: percent(s.fluence) },
          ...shares(s),
          ratio(s),
        ]),
      );
      this.drivers.replaceChildren(html("p", {}, this.#sentence(largest, dose)), bins, species);
    }

    #sentence(largest, dose) {
      const { number } = S3D.charts;
      const { alpha, beta, effect } = this.found;
      const total = (key) => percent(largest.reduce((t, b) => t + b[key], 0));
      const predicted = this.predicted(this.dose);
      const compared = predicted === null ? "" : `; predicted is ${number(predicted, 3)}`;
      const mixed = `alpha ${number(alpha, 3)} /Gy, beta ${number(beta, 3)} /Gy\u00b2, \u2212ln S ${number(effect, 3)}`;
      const held = `${total("effect")} % of the effect and ${total("dose")} % of the dose`;
      const five = `The ${largest.length} largest bins hold ${held}.`;
      return `By the Zaider-Rossi mixing rule, at ${dose} Gy: ${mixed}${compared}. ${five}`;
    }
  }

  S3D.SpectrumChart = SpectrumChart;
})();
