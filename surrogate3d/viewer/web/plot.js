/** Axes, lines and the reading line of a chart, as inline SVG that fits the width it is given. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const MARGIN = { left: 58, right: 14, top: 30, bottom: 40 };
  const FALLBACK_WIDTH = 560; // where the page is not laid out, as in a hidden tab
  const MARK = 4;

  /** Round steps of a linear axis: about `count` ticks. */
  function linearTicks([low, high], count) {
    const rough = (high - low) / Math.max(count, 1);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].find((m) => m * power >= rough * 0.999) * power;
    const first = Math.ceil(low / step - 1e-9);
    const n = Math.floor(high / step + 1e-9) - first + 1;
    return Array.from({ length: Math.max(n, 0) }, (_, t) => Number(((first + t) * step).toPrecision(12)));
  }

  /** Powers of ten, thinned; 1, 2 and 5 of each where the axis holds few of them. */
  function logTicks([low, high], count) {
    const [first, last] = [Math.floor(Math.log10(low) + 1e-9), Math.floor(Math.log10(high) + 1e-9)];
    const every = Math.max(1, Math.ceil((last - first + 1) / Math.max(count, 2)));
    const multiples = last - first + 1 <= count / 3 ? [1, 2, 5] : [1];
    const ticks = [];
    for (let power = last; power >= first; power -= every) ticks.push(...multiples.map((m) => Number(`${m}e${power}`)));
    const inside = ticks.filter((t) => t >= low * 0.999 && t <= high * 1.001).sort((a, b) => a - b);
    return inside.length > 1 ? inside : linearTicks([low, high], count); // an axis of less than a decade
  }

  /** The next round number at or above: where an axis ends. */
  function roundUp(value) {
    if (!(value > 0)) return 1;
    const power = 10 ** Math.floor(Math.log10(value));
    return Number(
      ([1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((m) => m * power >= value * 0.9999) * power).toPrecision(6),
    );
  }

  /** Text of a tick, and the power that is raised beside it; all ticks of a linear axis have the same decimals. */
  function tickText(value, log, decimals) {
    const power = Math.log10(value);
    if (log && Math.abs(power) > 3.5 && Math.abs(power - Math.round(power)) < 1e-9) return [10, Math.round(power)];
    const text = log ? String(Number(value.toPrecision(6))) : value.toFixed(decimals);
    return [text.replace(/-/g, "\u2212"), null];
  }

  const decimalsOf = (ticks) => Math.max(0, ...ticks.map((t) => (String(t).split(".")[1] ?? "").length));

  /** Position of a value between 0 and 1, and back. */
  function scale({ domain: [low, high], log = false }) {
    if (!log) return { share: (v) => (v - low) / (high - low), value: (t) => low + t * (high - low) };
    const [a, b] = [Math.log(low), Math.log(high)];
    return { share: (v) => (Math.log(v) - a) / (b - a), value: (t) => Math.exp(a + t * (b - a)) };
  }

  /**
   * A chart with axes and, when it can be read, a line that follows pointer and keyboard.
   * spec: {label, height, x: {title, domain, log}, y: {...}, draw(frame),
   *        read: {along: "x"|"y", stops?: number[], step?: number, say(value), marks?(value), changed?(value, meant)} }
   * `meant` is true for keys, presses and drags, false where the pointer only passes or the page itself moves the line.
   */
  class Plot {
    constructor(spec) {
      const { html } = S3D.charts;
      this.spec = spec;
      this.reading = spec.read?.start ?? null;
      this.element = html("div", { class: "s3d-plot" });
      if (spec.read) this.#listen();
      else this.element.setAttribute("role", "img");
      this.element.setAttribute("aria-label", spec.label);
      new ResizeObserver(() => this.#fit()).observe(this.element);
    }

    /** Replace parts of what is drawn; the reading stays where it can. */
    update(parts) {
      Object.assign(this.spec, parts);
      if (parts.label) this.element.setAttribute("aria-label", parts.label);
      this.draw();
    }

    /** Draw for another width; what is hidden has none. */
    #fit() {
      const width = this.element.clientWidth;
      if (width && width !== this.drawnWidth) this.draw();
    }

    draw() {
      const { svg } = S3D.charts;
      this.drawnWidth = this.element.clientWidth;
      const width = this.drawnWidth || FALLBACK_WIDTH;
      const { height = 280 } = this.spec;
      const plot = svg("svg", {
        viewBox: `0 0 ${width} ${height}`,
        width: "100%",
        "aria-hidden": "true",
        focusable: "false",
      });
      this.frame = this.#frame(width, height, plot);
      this.#axes();
      this.spec.draw(this.frame);
      this.guide = svg("g", { class: "s3d-guide" });
      plot.append(this.guide);
      this.element.replaceChildren(plot);
      if (this.spec.read) this.readAt(this.reading ?? this.#middle(), false);
    }

    /** Move the reading line to a value; `meant` tells listeners whether someone did. */
    readAt(value, meant = false) {
      const { read } = this.spec;
      const {
        domain: [low, high],
      } = this.spec[read.along];
      this.reading = Math.min(Math.max(this.#snapped(value), low), high);
      const { element } = this;
      element.setAttribute("aria-valuemin", low);
      element.setAttribute("aria-valuemax", high);
      element.setAttribute("aria-valuenow", this.reading);
      element.setAttribute("aria-valuetext", read.say(this.reading));
      element.setAttribute("aria-orientation", read.along === "x" ? "horizontal" : "vertical");
      if (this.frame) this.#drawGuide();
      read.changed?.(this.reading, meant);
    }

    #frame(width, height, plot) {
      const { svg } = S3D.charts;
      const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
      const [across, up] = [scale(this.spec.x), scale(this.spec.y)];
      const x = (v) => MARGIN.left + across.share(v) * inner.width;
      const y = (v) => MARGIN.top + (1 - up.share(v)) * inner.height;
      const clip = `s3d-clip-${(Plot.count = (Plot.count ?? 0) + 1)}`;
      const area = { x: MARGIN.left, y: MARGIN.top - 1, width: inner.width, height: inner.height + 2 };
      const layer = svg("g", { "clip-path": `url(#${clip})` });
      plot.append(svg("clipPath", { id: clip }, svg("rect", area)));
      return Object.assign(new Frame(layer, x, y), { plot, width, height, inner, across, up });
    }

    #axes() {
      const { svg, symbolNodes } = S3D.charts;
      const { x, y } = this.spec;
      const { plot, inner, width, height, layer } = this.frame;
      const [left, bottom] = [MARGIN.left, MARGIN.top + inner.height];
      const ticks = {
        x: (x.log ? logTicks : linearTicks)(x.domain, inner.width / 70),
        y: (y.log ? logTicks : linearTicks)(y.domain, inner.height / 36),
      };
      for (const tick of ticks.x) this.#tick(tick, "x", bottom, decimalsOf(ticks.x));
      for (const tick of ticks.y) this.#tick(tick, "y", left, decimalsOf(ticks.y));
      plot.append(layer);
      plot.append(svg("path", { class: "s3d-axis", d: `M${left} ${MARGIN.top}V${bottom}H${left + inner.width}` }));
      plot.append(svg("text", { class: "s3d-title", x: 2, y: 14 }, symbolNodes(y.title, svg)));
      const end = { class: "s3d-title", x: width - MARGIN.right, y: height - 5, "text-anchor": "end" };
      plot.append(svg("text", end, symbolNodes(x.title, svg)));
    }

    #tick(value, axis, edge, decimals) {
      const { svg } = S3D.charts;
      const { frame, spec } = this;
      const at = frame[axis](value);
      const [far, bottom] = [MARGIN.left + frame.inner.width, MARGIN.top + frame.inner.height];
      const line = axis === "x" ? `M${at} ${MARGIN.top}V${bottom}` : `M${MARGIN.left} ${at}H${far}`;
      const place =
        axis === "x"
          ? { x: at, y: edge + 16, "text-anchor": "middle" }
          : { x: edge - 7, y: at + 4, "text-anchor": "end" };
      const [text, power] = tickText(value, spec[axis].log, decimals);
      const raised =
        power === null ? null : svg("tspan", { dy: "-0.4em", class: "s3d-low" }, String(power).replace("-", "\u2212"));
      frame.plot.append(
        svg("path", { class: "s3d-grid", d: line }),
        svg("text", { class: "s3d-tick", ...place }, text, raised),
      );
    }

    #drawGuide() {
      const { svg } = S3D.charts;
      const {
        frame,
        spec: { read },
      } = this;
      const at = frame[read.along](this.reading);
      const [far, bottom] = [MARGIN.left + frame.inner.width, MARGIN.top + frame.inner.height];
      const line = read.along === "x" ? `M${at} ${MARGIN.top}V${bottom}` : `M${MARGIN.left} ${at}H${far}`;
      const dots = (read.marks?.(this.reading) ?? []).map((mark) => this.#dot(mark)).filter(Boolean);
      this.guide.replaceChildren(svg("path", { d: line }), ...dots);
    }

    #dot({ x, y, ink }) {
      if (!Number.isFinite(x) || !Number.isFinite(y)) return null;
      return S3D.charts.svg("circle", {
        class: "s3d-dot s3d-ink",
        cx: this.frame.x(x),
        cy: this.frame.y(y),
        r: MARK,
        ...ink,
      });
    }

    #listen() {
      const { element } = this;
      element.setAttribute("role", "slider");
      element.setAttribute("tabindex", "0");
      element.addEventListener("keydown", (event) => this.#key(event));
      element.addEventListener("pointerdown", (event) => this.#point(event));
      element.addEventListener("pointermove", (event) =>
        event.pointerType !== "touch" || event.buttons ? this.#point(event) : null,
      );
    }

    #point(event) {
      if (!this.frame) return;
      const box = this.frame.plot.getBoundingClientRect();
      const { read } = this.spec;
      const zoom = this.frame.width / box.width;
      const share =
        read.along === "x"
          ? ((event.clientX - box.left) * zoom - MARGIN.left) / this.frame.inner.width
          : 1 - ((event.clientY - box.top) * zoom - MARGIN.top) / this.frame.inner.height;
      const side = read.along === "x" ? this.frame.across : this.frame.up;
      this.readAt(side.value(Math.min(Math.max(share, 0), 1)), event.type === "pointerdown" || event.buttons > 0);
    }

    #key(event) {
      const moves = {
        ArrowRight: 1,
        ArrowUp: 1,
        ArrowLeft: -1,
        ArrowDown: -1,
        PageUp: 10,
        PageDown: -10,
        Home: -Infinity,
        End: Infinity,
      };
      const steps = moves[event.key];
      if (steps === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.readAt(this.#moved(steps), true);
    }

    #moved(steps) {
      const { read } = this.spec;
      const {
        domain: [low, high],
      } = this.spec[read.along];
      if (!Number.isFinite(steps)) return steps < 0 ? low : high;
      if (!read.stops) return this.reading + steps * this.#step();
      const at = read.stops.indexOf(this.reading);
      return read.stops[Math.min(Math.max(at + steps, 0), read.stops.length - 1)];
    }

    /** About a two-hundredth of the axis, as a round number. */
    #step() {
      const {
        domain: [low, high],
      } = this.spec[this.spec.read.along];
      return this.spec.read.step ?? linearTicks([0, high - low], 200)[1];
    }

    #snapped(value) {
      const { stops } = this.spec.read;
      if (stops) return stops.reduce((best, stop) => (Math.abs(stop - value) < Math.abs(best - value) ? stop : best));
      const step = this.#step();
      return Number((Math.round(value / step) * step).toPrecision(12));
    }

    #middle() {
      const {
        domain: [low, high],
      } = this.spec[this.spec.read.along];
      return (low + high) / 2;
    }
  }

  /** Draws in the units of the axes. Values that are null or not finite leave a gap. */
  class Frame {
    constructor(layer, x, y) {
      Object.assign(this, { layer, x, y });
    }

    #path(xs, ys) {
      let pen = "M";
      let d = "";
      xs.forEach((at, n) => {
        const known = Number.isFinite(ys[n] ?? NaN);
        if (known) d += `${pen}${this.x(at).toFixed(2)} ${this.y(ys[n]).toFixed(2)}`;
        pen = known ? "L" : "M";
      });
      return d;
    }

    add(tag, attributes) {
      const made = S3D.charts.svg(tag, attributes);
      this.layer.append(made);
      return made;
    }

    line(xs, ys, ink, dash = "none", kind = "") {
      return this.add("path", {
        class: `s3d-line s3d-ink ${kind}`,
        d: this.#path(xs, ys),
        "stroke-dasharray": dash,
        ...ink,
      });
    }

    /** The area between two lines, in runs where both are known. */
    band(xs, lows, highs, ink, kind = "s3d-band") {
      const known = (n) => Number.isFinite(lows[n] ?? NaN) && Number.isFinite(highs[n] ?? NaN);
      for (let start = 0; start < xs.length; start += 1) {
        if (!known(start)) continue;
        let end = start;
        while (end + 1 < xs.length && known(end + 1)) end += 1;
        const run = xs.slice(start, end + 1);
        const back = [...run].reverse();
        const there = this.#path(run, highs.slice(start, end + 1));
        const andBack = this.#path(back, lows.slice(start, end + 1).reverse()).replace("M", "L");
        const d = `${there}${andBack}Z`;
        this.add("path", { class: `${kind} s3d-ink`, d, ...ink });
        start = end;
      }
    }

    /** One flat step per bin, from edge to edge. */
    steps(edges, values, ink, dash = "none", kind = "") {
      const xs = values.flatMap((_, n) => [edges[n], edges[n + 1]]);
      return this.line(
        xs,
        values.flatMap((v) => [v, v]),
        ink,
        dash,
        kind,
      );
    }

    /** A point with its error bar. */
    point(x, y, low, high, ink, hollow = false) {
      const [cx, cy, cap] = [this.x(x), this.y(y), MARK];
      const end = (value) => `M${cx - cap} ${this.y(value)}h${2 * cap}`;
      const bar = `M${cx} ${this.y(low)}V${this.y(high)}${end(low)}${end(high)}`;
      if (Number.isFinite(low) && Number.isFinite(high)) this.add("path", { class: "s3d-bar s3d-ink", d: bar, ...ink });
      this.add("circle", { class: `${hollow ? "s3d-hollow" : "s3d-dot"} s3d-ink`, cx, cy, r: MARK, ...ink });
    }

    /** A thin upright line with its name at the top, in the first or a later row. */
    flag(x, text, row = 0) {
      this.add("path", { class: "s3d-flag", d: `M${this.x(x)} ${MARGIN.top}v${this.inner.height}` });
      const late = this.x(x) > MARGIN.left + this.inner.width * 0.8;
      const place = {
        class: "s3d-tick",
        x: this.x(x) + (late ? -4 : 4),
        y: MARGIN.top + 12 + 14 * row,
        "text-anchor": late ? "end" : "start",
      };
      this.layer.append(S3D.charts.svg("text", place, text));
    }
  }

  S3D.Plot = Plot;
  S3D.axes = { linearTicks, logTicks, roundUp };
})();
