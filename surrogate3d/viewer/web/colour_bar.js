/* A layer's choice with its window: colour bar, two numbers, and the drag that moves them. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const BAR = { height: 14, total: 34, side: 8 };
  const AUTO = [0.01, 0.99];

  /** Share of sorted values below a place. */
  const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];

  class ColourBar {
    /**
     * @param {Viewer} viewer
     * @param {() => string | null} layer name of the layer whose window this is
     */
    constructor(viewer, layer) {
      Object.assign(this, { viewer, nameOf: layer });
      const { html } = S3D.charts;
      const title = "Drag an end, or the middle, to change the window";
      this.canvas = html("canvas", { class: "s3d-colour-bar", height: BAR.total, role: "img", title });
      this.low = this.input("Lowest value of the colours");
      this.high = this.input("Highest value of the colours");
      this.now = html("p", { class: "s3d-print-only" });
      const button = (text, title, press) => html("button", { type: "button", title, onclick: press }, text);
      this.element = html("div", { class: "s3d-window" }, this.now, this.canvas,
        html("div", { class: "s3d-row" }, this.low, "to", this.high,
          button("Auto", "Window of the three planes shown: 1 to 99 % of their values", () => this.auto()),
          button("Reset", "The window that the layer came with", () => this.reset())));
      this.listen();
    }

    input(label) {
      const made = S3D.charts.html("input", { type: "number", step: "any", "aria-label": label });
      made.addEventListener("change", () => this.typed(made));
      return made;
    }

    get layer() {
      return this.viewer.layer(this.nameOf());
    }

    get window() {
      return this.viewer.state.windows.get(this.nameOf());
    }

    /** Take a window if it is one; of symmetric layers the end that was moved decides both. */
    take(low, high, moved) {
      if (this.layer.symmetric) {
        const reach = Math.abs(moved === "low" ? low : high);
        [low, high] = [-reach, reach];
      }
      const isWindow = Number.isFinite(low) && Number.isFinite(high) && low < high;
      for (const input of [this.low, this.high]) input.setAttribute("aria-invalid", String(!isWindow));
      if (isWindow) this.viewer.setWindow(this.nameOf(), low, high);
      return isWindow;
    }

    typed(input) {
      const [low, high] = [this.low, this.high].map((each) => each.valueAsNumber);
      if (!this.take(low, high, input === this.low ? "low" : "high"))
        this.viewer.say(`A window needs two rising numbers; ${this.low.value || "none"} to ${this.high.value || "none"} is none.`);
    }

    reset() {
      const [low, high] = this.layer.window;
      this.take(low, high, "high");
    }

    async auto() {
      const { viewer } = this;
      const read = [0, 1, 2].map((axis) => viewer.plane(this.nameOf(), axis, viewer.state.voxel[axis]));
      const planes = await Promise.all(read);
      const sorted = Float32Array.from(planes.flatMap(({ values }) => Array.from(values.filter(Number.isFinite)))).sort();
      if (!sorted.length) return viewer.say("The three planes hold no value of this layer.");
      const [low, high] = AUTO.map((share) => quantile(sorted, share));
      const reach = Math.max(Math.abs(low), Math.abs(high));
      if (!this.take(this.layer.symmetric ? -reach : low, this.layer.symmetric ? reach : high, "high"))
        viewer.say("The three planes hold one single value of this layer; it has no window.");
      return undefined;
    }

    // Painting -----------------------------------------------------------------------------------------------------

    paint() {
      const { layer } = this;
      this.element.hidden = !layer;
      if (!layer) return;
      const { number, unit } = S3D.charts;
      const [low, high] = this.window;
      for (const [input, value] of [[this.low, low], [this.high, high]])
        if (document.activeElement !== input) input.value = Number(value.toPrecision(4));
      this.now.textContent = S3D.Controls.optionText(layer);
      this.canvas.setAttribute("aria-label", `Colours of ${layer.title}: ${number(low)} to ${number(high)} ${unit(layer.unit)}`);
      this.paintBar(layer, low, high);
    }

    paintBar(layer, low, high) {
      const ratio = Math.max(1, window.devicePixelRatio || 1);
      const width = this.canvas.clientWidth || 260;
      Object.assign(this.canvas, { width: width * ratio, height: BAR.total * ratio });
      const context = this.canvas.getContext("2d");
      context.scale(ratio, ratio);
      const colours = S3D.colours.table(this.viewer.scene, layer.colours);
      const length = width - 2 * BAR.side;
      const image = new ImageData(new Uint8ClampedArray(colours.buffer.slice(0)), 256, 1);
      const strip = new OffscreenCanvas(256, 1);
      strip.getContext("2d").putImageData(image, 0, 0);
      context.drawImage(strip, BAR.side, 0, length, BAR.height);
      this.paintBeyond(context, layer, low, high, width);
      this.paintTicks(context, low, high, length);
    }

    /** A triangle at an end beyond which the layer has values. */
    paintBeyond(context, layer, low, high, width) {
      if (!layer.range) return;
      const { ink } = S3D.colours.inks();
      const half = BAR.height / 2;
      context.fillStyle = ink;
      const below = [layer.range[0] < low, 1, BAR.side - 2];
      const above = [layer.range[1] > high, width - 1, width - BAR.side + 2];
      for (const [isBeyond, tip, base] of [below, above]) {
        if (!isBeyond) continue;
        context.beginPath();
        context.moveTo(tip, half);
        context.lineTo(base, half - 5);
        context.lineTo(base, half + 5);
        context.fill();
      }
    }

    paintTicks(context, low, high, length) {
      const { muted } = S3D.colours.inks();
      Object.assign(context, { font: "11px system-ui, sans-serif", textAlign: "center", textBaseline: "top" });
      Object.assign(context, { fillStyle: muted, strokeStyle: muted });
      for (const tick of S3D.geometry.ticks(low, high, 5)) {
        const x = Math.round(BAR.side + ((tick - low) / (high - low)) * length) + 0.5;
        context.beginPath();
        context.moveTo(x, BAR.height);
        context.lineTo(x, BAR.height + 4);
        context.stroke();
        context.fillText(S3D.geometry.short(tick), x, BAR.height + 6);
      }
    }

    // Dragging -----------------------------------------------------------------------------------------------------

    listen() {
      const { canvas } = this;
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        const share = this.shareOf(event);
        this.drag = { share, window: [...this.window], end: share < 0.3 ? "low" : share > 0.7 ? "high" : "both" };
      });
      canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && this.dragged(event));
      canvas.addEventListener("pointerup", () => (this.drag = null));
    }

    shareOf(event) {
      const frame = this.canvas.getBoundingClientRect();
      return (event.clientX - frame.left - BAR.side) / (frame.width - 2 * BAR.side);
    }

    /** An end moves under the pointer; the middle moves both, and widens or narrows where the layer is symmetric. */
    dragged(event) {
      const { share, window: [low, high], end } = this.drag;
      const by = (this.shareOf(event) - share) * (high - low);
      const least = 0.01 * (high - low);
      if (end === "low") this.take(Math.min(low + by, high - least), high, "low");
      else if (end === "high" || this.layer.symmetric) this.take(low, Math.max(high + by, low + least), "high");
      else this.take(low + by, high + by, "high");
    }
  }

  S3D.ColourBar = ColourBar;
})();
