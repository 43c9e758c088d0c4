/** Depth profiles: judged with its band, reference and baselines, read along the depth and linked to the cross-hair. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const FIXED = {
    judged: { colour: 0, dash: "none" },
    reference: { colour: 1, dash: "7 4" },
    dose: { colour: 7, dash: "none" },
  };
  const BEHIND = ["dose", "baseline", "judged", "reference"]; // the dashes of the reference lie on the judged line
  const FIRST_BASELINE = 2; // place in the palette and among the dashes

  const finite = (values) => values.filter((v) => Number.isFinite(v ?? NaN));

  /** From zero, unless all values lie far above it. */
  function range(values) {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    if (least <= 0.6 * most)
      return [Math.min(least, 0), Math.min(least, 0) + S3D.axes.roundUp((most - Math.min(least, 0)) * 1.02)];
    const margin = most > least ? 0.08 * (most - least) : 0.1 * most;
    return [least - margin, most + margin];
  }

  class ProfileChart {
    /**
     * @param {HTMLElement} place
     * @param {object} scene manifest with `profiles`
     * @param {HTMLElement} stage where "s3d:voxel" is heard; its `s3d` is the viewer
     */
    constructor(place, scene, stage) {
      Object.assign(this, {
        scene,
        stage,
        profiles: scene.profiles,
        voxel: scene.focus,
        off: new Set(),
        profile: scene.profiles[0],
      });
      const { html, card } = S3D.charts;
      this.card = card(
        "Depth profiles",
        S3D.csv.button("Depth profiles", () => this.rows()),
      );
      this.controls = html("div", { class: "s3d-switches" });
      this.readings = html("div", { class: "s3d-readings" });
      this.plot = new S3D.Plot({ ...this.#axes(), label: "", draw: (frame) => this.#draw(frame), read: this.#read() });
      this.card.body.append(this.controls, html("div", { class: "s3d-split" }, this.plot.element, this.readings));
      place.append(this.card);
      this.#build();
      stage.addEventListener("s3d:voxel", (event) => this.#follow(event.detail.voxel));
    }

    /** Show other profiles; that with the title of the one that was shown, where there is one. */
    replace(profiles) {
      this.card.hidden = profiles.length === 0;
      if (this.card.hidden) return;
      this.profiles = profiles;
      this.profile = profiles.find((p) => p.title === this.profile.title) ?? profiles[0];
      this.#build();
    }

    /** The profile that is shown: one row a depth, with half widths where there are any. */
    rows() {
      const { profile } = this;
      const column = (s) => [
        S3D.charts.withUnit(s.name, this.#unit(s)),
        ...(s.half_width ? [S3D.charts.withUnit(`half width of ${s.name}`, this.#unit(s))] : []),
      ];
      const values = (s, n) => [s.values[n], ...(s.half_width ? [s.half_width[n]] : [])];
      const header = ["depth / mm", ...profile.series.flatMap(column)];
      return [header, ...profile.depth_mm.map((depth, n) => [depth, ...profile.series.flatMap((s) => values(s, n))])];
    }

    /** Dose beside another quantity has a scale of its own: it is drawn and read in % of its largest value. */
    #scaled(series) {
      return series.kind === "dose" && !(this.profile.unit ?? "").startsWith("Gy");
    }

    #unit(series) {
      return this.#scaled(series) ? (series.unit ?? "") : this.profile.unit;
    }

    #style(series) {
      if (FIXED[series.kind]) return FIXED[series.kind];
      const place = FIRST_BASELINE + this.profile.series.filter((s) => s.kind === "baseline").indexOf(series);
      return { colour: place, dash: S3D.charts.DASHES[place % S3D.charts.DASHES.length] };
    }

    #shown() {
      return this.profile.series.filter((s) => !this.off.has(s.name));
    }

    #bounds(series) {
      const low = series.values.map((v, n) => (v === null ? null : v - (series.half_width?.[n] ?? NaN)));
      const high = series.values.map((v, n) => (v === null ? null : v + (series.half_width?.[n] ?? NaN)));
      return { low, high };
    }

    #axes() {
      const { profile } = this;
      const plain = profile.series.filter((s) => !this.#scaled(s));
      const values = plain
        .flatMap((s) => [s.values, ...(s.half_width ? Object.values(this.#bounds(s)) : [])])
        .flatMap(finite);
      return {
        x: { title: "Depth along the beam / mm", domain: [profile.depth_mm[0], profile.depth_mm.at(-1)] },
        y: { title: S3D.charts.label(profile.symbol, profile.unit), domain: values.length ? range(values) : [0, 1] },
      };
    }

    #read() {
      return {
        along: "x",
        stops: this.profile.depth_mm,
        say: (depth) => this.#say(depth),
        marks: (depth) =>
          this.#shown()
            .filter((s) => !this.#scaled(s))
            .map((s) => ({ x: depth, y: s.values[this.#at(depth)], ink: S3D.charts.ink(this.#style(s).colour) })),
        changed: (depth, meant) => this.#moved(depth, meant),
      };
    }

    #at(depth) {
      return this.profile.depth_mm.indexOf(depth);
    }

    #draw(frame) {
      const { depth_mm: depths } = this.profile;
      const shown = [...this.#shown()].sort((a, b) => BEHIND.indexOf(a.kind) - BEHIND.indexOf(b.kind));
      for (const s of shown) {
        const [ink, { low, high }] = [S3D.charts.ink(this.#style(s).colour), this.#bounds(s)];
        if (this.#scaled(s)) this.#drawScaled(frame, s);
        else if (s.half_width) frame.band(depths, low, high, ink);
      }
      for (const s of shown.filter((each) => !this.#scaled(each)))
        frame.line(
          depths,
          s.values,
          S3D.charts.ink(this.#style(s).colour),
          this.#style(s).dash,
          s.kind === "judged" ? "s3d-strong" : "",
        );
    }

    #drawScaled(frame, series) {
      const {
        domain: [low, high],
      } = this.plot.spec.y;
      const most = Math.max(...finite(series.values));
      const heights = series.values.map((v) => (v === null ? null : low + (v / most) * (high - low)));
      frame.band(
        this.profile.depth_mm,
        heights.map((h) => (h === null ? null : low)),
        heights,
        S3D.charts.ink(this.#style(series).colour),
        "s3d-wash",
      );
    }

    #build() {
      this.#buildControls();
      const label = `Depth profile: ${this.profile.title}. Arrow keys move the reading line.`;
      this.plot.update({ ...this.#axes(), read: this.#read(), label });
      this.#follow(this.voxel);
    }

    #buildControls() {
      const { html, group } = S3D.charts;
      const options = this.profiles.map((p, n) => html("option", { value: n, selected: p === this.profile }, p.title));
      const change = (event) => {
        this.profile = this.profiles[event.target.value];
        this.plot.reading = null;
        this.#build();
        this.controls.querySelector("select").focus();
      };
      const select = html("select", { "aria-label": "Profile", onchange: change }, options);
      const chooser = options.length > 1 ? [group("Profile", [select])] : [];
      const title = html("p", { class: chooser.length ? "s3d-note s3d-on-paper" : "s3d-note" }, this.profile.title);
      this.controls.replaceChildren(
        ...chooser,
        title,
        group(
          "Curves",
          this.profile.series.map((s) => this.#toggle(s)),
          "s3d-key",
        ),
      );
    }

    #toggle(series) {
      const { swatch, toggle, html } = S3D.charts;
      const { colour, dash } = this.#style(series);
      const name = this.#scaled(series) ? `${series.name}, % of its largest` : series.name;
      return toggle([swatch(colour, dash), html("span", {}, name)], !this.off.has(series.name), (on) => {
        if (on) this.off.delete(series.name);
        else this.off.add(series.name);
        this.plot.update({});
      });
    }

    #reading(series, n) {
      const { number, unit } = S3D.charts;
      const value = series.values[n];
      if (this.#scaled(series))
        return value === null ? "\u2013" : `${((100 * value) / Math.max(...finite(series.values))).toFixed(1)} %`;
      const half = series.half_width?.[n];
      const interval = Number.isFinite(half ?? NaN) ? ` \u00b1 ${number(half, 2)}` : "";
      return `${number(value)}${interval} ${unit(this.profile.unit)}`.trim();
    }

    /** Relative error against the reference, judged / reference - 1. */
    #error(series, n) {
      const reference = this.profile.series.find((s) => s.kind === "reference");
      if (!reference || series.kind === "reference" || series.kind === "dose") return null;
      const [mine, theirs] = [series.values[n], reference.values[n]];
      return Number.isFinite(mine ?? NaN) && theirs ? `${S3D.charts.signed(100 * (mine / theirs - 1), 2)} %` : null;
    }

    #say(depth) {
      const parts = this.#shown().map((s) => `${s.name} ${this.#reading(s, this.#at(depth))}`);
      return `At a depth of ${S3D.charts.number(depth, 4)} mm: ${parts.join("; ")}`;
    }

    #moved(depth, meant) {
      const { html, swatch, number } = S3D.charts;
      const n = this.#at(depth);
      const item = (s) => {
        const error = this.#error(s, n);
        const { colour, dash } = this.#style(s);
        return html(
          "li",
          {},
          swatch(colour, dash),
          html("span", {}, s.name),
          html("strong", {}, this.#reading(s, n)),
          error ? html("small", {}, `${error} to reference`) : null,
        );
      };
      this.readings.replaceChildren(
        html("p", {}, `At a depth of ${number(depth, 4)} mm`),
        html("ul", {}, this.#shown().map(item)),
      );
      if (meant) this.#goTo(n);
    }

    /** Whether depths are those of the grid's planes, so that a voxel has a depth. */
    #linked() {
      const { beam, grid } = this.scene;
      return beam && this.profile.depth_mm.length === grid.shape[beam.axis];
    }

    /** Planes of the grid and depths run against each other where the beam does; its own inverse. */
    #plane(n) {
      const { beam, grid } = this.scene;
      return beam.sign > 0 ? n : grid.shape[beam.axis] - 1 - n;
    }

    #follow(voxel) {
      if (!voxel) return;
      this.voxel = [...voxel];
      if (this.#linked()) this.plot.readAt(this.profile.depth_mm[this.#plane(voxel[this.scene.beam.axis])]);
    }

    #goTo(n) {
      if (!this.#linked() || !this.voxel) return;
      const voxel = this.voxel.map((v, axis) => (axis === this.scene.beam.axis ? this.#plane(n) : v));
      if (voxel.every((v, axis) => v === this.voxel[axis])) return;
      this.voxel = voxel;
      this.stage.s3d?.moveTo(voxel); // the viewer, where the page has one
    }
  }

  S3D.ProfileChart = ProfileChart;
})();
