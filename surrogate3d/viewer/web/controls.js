/* The panel beside the planes: layers and windows, lines and marks, moving about, and the keys. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const GROUPS = {
    predicted: "Predicted", input: "Input", reference: "Reference", error: "Error",
    uncertainty: "Uncertainty", mask: "Masks", image: "Images",
  };
  const HELP = [
    ["Click", "move the cross-hair and pick the voxel"],
    ["Drag", "move the cross-hair"],
    ["Wheel", "next or previous slice, once a plane was clicked"],
    ["Arrow keys", "one voxel; with Shift ten"],
    ["Page up, Page down", "next or previous slice; with Shift ten"],
    ["Home, End", "first or last slice"],
    ["Enter", "pick the voxel"],
    ["Space", "play or stop"],
  ];

  class Controls {
    constructor(viewer) {
      this.viewer = viewer;
      this.bars = [new S3D.ColourBar(viewer, () => viewer.state.base), new S3D.ColourBar(viewer, () => viewer.state.overlay)];
      const { html } = S3D.charts;
      this.element = html("div", { class: "s3d-tools" },
        this.layerPart(), this.overlayPart(), this.linesPart(), this.movePart(), this.helpPart());
    }

    part(title, ...content) {
      const { html } = S3D.charts;
      return html("fieldset", { class: "s3d-part" }, html("legend", {}, title), content.flat());
    }

    // Layers -------------------------------------------------------------------------------------------------------

    layerPart() {
      const { viewer } = this;
      this.base = S3D.charts.html("select", { "aria-label": "Layer", onchange: () => viewer.set({ base: this.base.value }) });
      this.definition = S3D.charts.html("p", { class: "s3d-note" });
      this.relist();
      return this.part("Layer", this.base, this.bars[0].element, this.definition);
    }

    overlayPart() {
      const { html } = S3D.charts;
      const { viewer } = this;
      const { state } = viewer;
      this.overlay = html("select", { "aria-label": "Overlay", onchange: () => viewer.set({ overlay: this.overlay.value || null }) });
      const range = { type: "range", min: 0, max: 1, step: 0.05, value: state.opacity };
      this.opacity = html("input", { ...range, "aria-label": "Opacity of the overlay" });
      this.opacity.addEventListener("input", () => viewer.set({ opacity: this.opacity.valueAsNumber }));
      const hide = this.check("Hide below the window", state.hideBelow, (hideBelow) => viewer.set({ hideBelow }));
      this.overlayRow = html("div", { class: "s3d-row" }, html("label", { class: "s3d-row" }, "Opacity", this.opacity), hide);
      this.relist();
      return this.part("Overlay", this.overlay, this.bars[1].element, this.overlayRow);
    }

    /** The legend of isodoses again, as their base may be another now. */
    relabel() {
      const { isodose } = this.viewer.scene;
      if (!this.isodoseElement || !isodose) return;
      const fresh = this.isodoses(isodose);
      this.isodoseElement.replaceWith(fresh);
      this.isodoseElement = fresh;
    }

    /** Fill both menus from the scene, by groups. */
    relist() {
      const { html } = S3D.charts;
      const { scene, state } = this.viewer;
      const none = html("option", { value: "" }, "None");
      for (const [select, chosen, first] of [[this.base, state.base, []], [this.overlay, state.overlay, [none]]]) {
        if (!select) continue;
        const groups = Object.entries(GROUPS).map(([group, title]) => {
          const options = scene.layers
            .filter((layer) => layer.group === group)
            .map((layer) => html("option", { value: layer.name }, Controls.optionText(layer)));
          return options.length ? html("optgroup", { label: title }, options) : null;
        });
        select.replaceChildren(...first, ...groups.filter(Boolean));
        select.value = chosen ?? "";
      }
    }

    static optionText(layer) {
      const unit = S3D.charts.unit(layer.unit);
      return unit ? `${layer.title}, ${unit}` : layer.title;
    }

    // Lines and marks ----------------------------------------------------------------------------------------------

    check(content, isOn, change) {
      const { html } = S3D.charts;
      const box = html("input", { type: "checkbox", checked: isOn });
      box.addEventListener("change", () => change(box.checked));
      return html("label", { class: "s3d-check" }, box, content);
    }

    linesPart() {
      const { scene, state } = this.viewer;
      this.isodoseElement = scene.isodose ? this.isodoses(scene.isodose) : null;
      const rows = [
        this.isodoseElement,
        ...(scene.structures ?? []).map((structure, n) => this.structure(structure, n)),
        scene.points?.length ? this.points(scene.points) : null,
      ].filter(Boolean);
      this.noValue = S3D.charts.html("canvas", { class: "s3d-sample", width: 26, height: 14, "aria-hidden": "true" });
      const none = S3D.charts.html("p", { class: "s3d-legend-entry" }, this.noValue, "no value");
      state.points &&= rows.length > 0;
      return this.part("Lines and marks", rows, none);
    }

    isodoses(isodose) {
      const { html, unit } = S3D.charts;
      const layer = this.viewer.layer(isodose.layer);
      const samples = isodose.percents.map((percent, n) => html("span", { class: "s3d-legend-entry" },
        this.lineSample("#ffffff", S3D.Viewer.isodoseStyle(n)), `${percent} %`));
      const title = `${layer?.title ?? isodose.layer}: % of ${S3D.geometry.short(isodose.base, 4)} ${unit(isodose.unit)}`;
      const box = this.check(title, this.viewer.state.isodose, (on) => this.viewer.set({ isodose: on }));
      return html("div", {}, box, html("div", { class: "s3d-samples" }, samples));
    }

    structure({ name, colour }, n) {
      const { html } = S3D.charts;
      const { structures } = this.viewer.state;
      const change = (on) => {
        structures[on ? "add" : "delete"](name);
        this.viewer.invalidate();
      };
      const sample = this.lineSample(colour, S3D.Viewer.structureStyle(n));
      return this.check(html("span", { class: "s3d-legend-entry" }, sample, name), true, change);
    }

    points(points) {
      const { html, svg } = S3D.charts;
      const mark = (isHeldOut) => svg("svg", { class: "s3d-mark", width: 14, height: 14, "aria-hidden": "true" },
        svg("circle", { cx: 7, cy: 7, r: 4.5, class: isHeldOut ? "s3d-held-out" : "s3d-trained" }));
      const held = points.filter((point) => point.held_out).length;
      const legend = (isHeldOut, text) => html("span", { class: "s3d-legend-entry" }, mark(isHeldOut), text);
      return html("div", {}, this.check("Voxels simulated directly", true, (on) => this.viewer.set({ points: on })),
        html("div", { class: "s3d-samples" }, legend(true, `${held} held out`), legend(false, `${points.length - held} for training`)));
    }

    /** A piece of a line as the planes draw it. */
    lineSample(colour, { dash, width }) {
      const { svg } = S3D.charts;
      const place = { x1: 1, x2: 35, y1: 7, y2: 7, "stroke-dasharray": dash.join(" ") || null };
      const line = (stroke, wide) => svg("line", { ...place, stroke, "stroke-width": wide });
      const halo = line(S3D.colours.isDeep(colour) ? "#ffffff" : "#101010", width + 1.6);
      return svg("svg", { class: "s3d-line-sample", width: 36, height: 14, "aria-hidden": "true" }, halo, line(colour, width));
    }

    // Moving -------------------------------------------------------------------------------------------------------

    movePart() {
      const { html } = S3D.charts;
      const { shape } = this.viewer.scene.grid;
      const text = { type: "text", class: "s3d-goto", placeholder: "i, j, k   or   x, y, z mm" };
      this.target = html("input", { ...text, "aria-label": "Go to voxel i, j, k, or to x, y, z mm" });
      const form = html("form", { class: "s3d-row" }, this.target, html("button", { type: "submit" }, "Go"));
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.go(this.target.value);
      });
      this.playButton = html("button", { type: "button", onclick: () => this.viewer.play() });
      this.tellPlaying();
      const size = html("span", { class: "s3d-muted" }, `${shape.join(" \u00d7 ")} voxels`);
      const part = this.part("Go to", form, html("div", { class: "s3d-row" }, this.playButton, size));
      part.classList.add("s3d-goto-part");
      return part;
    }

    /** Move to what was typed; say what was wrong with it otherwise. */
    go(text) {
      const { viewer } = this;
      const numbers = text.replace(/\bmm\b/i, "").replace(/\u2212/g, "-").split(/[\s,;]+/).filter(Boolean).map(Number);
      const isMm = /\bmm\b/i.test(text);
      const voxel = isMm && numbers.length === 3 ? S3D.geometry.nearestVoxel(viewer.scene.grid, numbers) : numbers;
      const { shape } = viewer.scene.grid;
      const isThere = voxel.length === 3 && voxel.every((at, axis) => Number.isInteger(at) && at >= 0 && at < shape[axis]);
      this.target.setAttribute("aria-invalid", String(!isThere));
      const ends = shape.map((n) => `0 to ${n - 1}`).join(", ");
      if (!isThere) return viewer.say(`\u201c${text}\u201d is no voxel of this grid: i, j, k go ${ends}.`);
      viewer.say("");
      viewer.moveTo(voxel);
      return viewer.pick();
    }

    tellPlaying() {
      this.playButton.textContent = this.viewer.playing ? "Stop" : S3D.Viewer.isStill() ? "Next slice" : "Play slices";
      this.playButton.setAttribute("aria-pressed", String(Boolean(this.viewer.playing)));
    }

    helpPart() {
      const { html } = S3D.charts;
      const rows = HELP.flatMap(([keys, does]) => [html("dt", {}, keys), html("dd", {}, does)]);
      return html("details", { class: "s3d-help" }, html("summary", {}, "Mouse and keys"), html("dl", { id: this.viewer.helpId }, rows));
    }

    paint() {
      const layer = this.viewer.layer(this.viewer.state.base);
      this.definition.textContent = layer.definition ?? "";
      this.base.value = this.viewer.state.base;
      this.overlay.value = this.viewer.state.overlay ?? "";
      this.overlayRow.hidden = !this.viewer.state.overlay;
      for (const bar of this.bars) bar.paint();
      if (this.viewer.state.overlay) this.bars[1].now.append(`, ${Math.round(100 * this.viewer.state.opacity)} % opaque`);
      S3D.colours.fillNoValue(this.noValue.getContext("2d"), 0, 0, 26, 14);
    }
  }

  S3D.Controls = Controls;
})();
