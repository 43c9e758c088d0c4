/** Survival curve of one voxel: predicted with its interval, photons, and the direct simulation where there is one. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const POINTS = 120; // of a drawn curve
  const Z90 = 1.6449; // two-sided 90 % of a normal distribution, as the predicted interval
  const INK = { predicted: 0, photon: 7, direct: 1 };

  class SurvivalChart {
    constructor(place) {
      const { html, card, swatch, ink } = S3D.charts;
      this.ink = Object.fromEntries(Object.entries(INK).map(([name, at]) => [name, ink(at)]));
      this.card = card(
        "Survival curve",
        S3D.csv.button("Survival curve", () => this.rows()),
      );
      this.legend = html("ul", { class: "s3d-legend" });
      this.readings = html("div", { class: "s3d-readings" });
      this.table = html("div");
      this.swatches = {
        predicted: () => swatch(INK.predicted, "none"),
        photon: () => swatch(INK.photon, "7 4"),
        direct: () => swatch(INK.direct, "0.1 9"),
      };
      const details = html(
        "details",
        { class: "s3d-details" },
        html("summary", {}, "Values at the simulated doses"),
        this.table,
      );
      this.card.body.append(this.legend, (this.place = html("div")), this.readings, details);
      place.append(this.card);
    }

    /**
     * @param {{effect: number[], half_width: number | null, doses: number[], photon: object, point: object | null,
     *          flags: Array<[number, string]>}} curve what is known of the voxel; `flags` are doses to mark
     */
    show(curve) {
      this.curve = curve;
      const spec = {
        ...this.#axes(),
        draw: (frame) => this.#draw(frame),
        read: this.#read(),
        label: "Survival curve. Arrow keys move the reading line.",
      };
      if (this.plot) this.plot.update(spec);
      else {
        this.plot = new S3D.Plot({ ...spec, height: 300 });
        this.plot.reading = 2;
        this.place.append(this.plot.element);
        this.plot.draw();
      }
      this.#buildLegend();
      this.#buildTable();
    }

    /** Survival at a dose: of the prediction with its interval, of photons, and the RBE. */
    at(dose) {
      const { doses, effect, half_width: half, photon } = this.curve;
      const found = S3D.survival.effectAt(dose, doses, effect);
      const known = found !== null && Number.isFinite(half ?? NaN);
      const survival = (E) => (E === null ? null : Math.exp(-E));
      return {
        effect: found,
        predicted: survival(found),
        low: known ? survival(found * (1 + half)) : null,
        high: known ? survival(found * (1 - half)) : null,
        photon: survival(S3D.survival.photonEffect(dose, photon)),
        rbe: S3D.survival.rbeAt(dose, doses, effect, half, photon),
      };
    }

    /** One row a simulated dose. */
    rows() {
      const { doses, point } = this.curve;
      const header = [
        "dose / Gy",
        "-ln S predicted",
        "S predicted",
        "S low (90 %)",
        "S high (90 %)",
        "S photons",
        "RBE",
        "S direct",
        "standard error of S direct",
      ];
      const row = (dose, n) => {
        const { effect, predicted, low, high, photon, rbe } = this.at(dose);
        const direct = point?.effect?.[n] ?? null;
        const error = point?.effect_se?.[n] ?? null;
        const S = direct === null ? null : Math.exp(-direct);
        return [
          dose,
          effect,
          predicted,
          low,
          high,
          photon,
          rbe?.RBE ?? null,
          S,
          S === null || error === null ? null : S * error,
        ];
      };
      return [header, ...doses.map(row)];
    }

    #axes() {
      const { doses, photon, point } = this.curve;
      const last = doses.at(-1);
      const { predicted, low } = this.at(last);
      const least = Math.min(
        predicted,
        low ?? 1,
        Math.exp(-S3D.survival.photonEffect(last, photon)),
        ...(point?.effect ?? []).map((E) => Math.exp(-E)),
      );
      const floor = 10 ** Math.floor(Math.log10(Math.max(least, 1e-300)) + 1e-9);
      return {
        x: { title: "Dose / Gy", domain: [0, last] },
        y: { title: "Surviving fraction", domain: [Math.min(floor, 0.1), 1], log: true },
      };
    }

    #draw(frame) {
      const last = this.curve.doses.at(-1);
      const xs = Array.from({ length: POINTS + 1 }, (_, n) => (n / POINTS) * last);
      const at = xs.map((dose) => this.at(dose));
      this.curve.flags.filter(([dose]) => dose <= last).forEach(([dose, text], row) => frame.flag(dose, text, row));
      frame.band(
        xs,
        at.map((s) => s.low),
        at.map((s) => s.high),
        this.ink.predicted,
      );
      frame.line(
        xs,
        at.map((s) => s.photon),
        this.ink.photon,
        "7 4",
      );
      frame.line(
        xs,
        at.map((s) => s.predicted),
        this.ink.predicted,
        "none",
        "s3d-strong",
      );
      this.#drawDirect(frame);
    }

    #drawDirect(frame) {
      const { doses, point } = this.curve;
      (point?.effect ?? []).forEach((effect, n) => {
        if (!Number.isFinite(effect ?? NaN)) return;
        const spread = Z90 * (point.effect_se?.[n] ?? NaN);
        frame.point(
          doses[n],
          Math.exp(-effect),
          Math.exp(-effect - spread),
          Math.exp(-effect + spread),
          this.ink.direct,
          !point.held_out,
        );
      });
    }

    #read() {
      const marks = (dose) => {
        const { predicted, photon } = this.at(dose);
        return [
          { x: dose, y: photon, ink: this.ink.photon },
          { x: dose, y: predicted, ink: this.ink.predicted },
        ];
      };
      return { along: "x", say: (dose) => this.#say(dose), marks, changed: (dose) => this.#showReadings(dose) };
    }

    #texts(dose) {
      const { number } = S3D.charts;
      const { predicted, low, high, photon, rbe } = this.at(dose);
      const interval = low === null ? "" : ` (90 %: ${number(low, 3)} to ${number(high, 3)})`;
      const half = rbe?.half_width ? ` \u00b1 ${number(rbe.half_width, 2)}` : "";
      return {
        predicted: `${number(predicted, 3)}${interval}`,
        photon: number(photon, 3),
        rbe: rbe ? `${number(rbe.RBE, 4)}${half}` : "\u2013",
      };
    }

    #say(dose) {
      const { predicted, photon, rbe } = this.#texts(dose);
      return `At ${S3D.charts.number(dose, 3)} Gy: predicted survival ${predicted}; photons ${photon}; RBE ${rbe}`;
    }

    #showReadings(dose) {
      const { html, number } = S3D.charts;
      const texts = this.#texts(dose);
      const item = (mark, name, text) => html("li", {}, mark, html("span", {}, name), html("strong", {}, text));
      this.readings.replaceChildren(
        html("p", {}, `At ${number(dose, 3)} Gy`),
        html(
          "ul",
          {},
          item(this.swatches.predicted(), "survival, predicted", texts.predicted),
          item(this.swatches.photon(), "survival, photons", texts.photon),
          item(html("span", { class: "s3d-swatch" }), "RBE", texts.rbe),
        ),
      );
    }

    #buildLegend() {
      const { html } = S3D.charts;
      const { point, half_width: half } = this.curve;
      const item = (mark, text) => html("li", {}, mark, text);
      const band = Number.isFinite(half ?? NaN) ? ", band: interval of 90 %" : "";
      const simulated = point?.effect
        ? [
            item(
              this.#dot(point.held_out),
              `direct simulation, ${point.held_out ? "held out" : "in training"}, bars: 90 % by its standard error`,
            ),
          ]
        : [];
      this.legend.replaceChildren(
        item(this.swatches.predicted(), `predicted${band}`),
        item(this.swatches.photon(), "photon reference"),
        ...simulated,
      );
    }

    #dot(filled) {
      const { svg } = S3D.charts;
      const circle = svg("circle", { cx: 14, cy: 6, r: 4, class: `${filled ? "s3d-dot" : "s3d-hollow"}` });
      return svg(
        "svg",
        { class: "s3d-swatch s3d-ink", width: 28, height: 12, "aria-hidden": "true", ...this.ink.direct },
        circle,
      );
    }

    #buildTable() {
      const [header, ...rows] = this.rows();
      this.table.replaceChildren(S3D.charts.table("Survival at the simulated doses", header, rows));
    }
  }

  S3D.SurvivalChart = SurvivalChart;
})();
