/* One plane on a canvas: its images and lines, its place on the screen, and the pointer and keys on it. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const MARGIN = { left: 46, right: 10, top: 4, bottom: 34 };
  const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  class Plane {
    /**
     * @param {View} view how it lies on the screen (geometry.js)
     * @param {Viewer} viewer what is shown
     */
    constructor(view, viewer) {
      Object.assign(this, { view, viewer, turn: 0, painted: 0, shown: null, scale: 1 });
      this.grid = viewer.scene.grid;
      this.buildElements();
      this.listen();
    }

    buildElements() {
      const { html } = S3D.charts;
      const name = this.view.title;
      this.canvas = html("canvas", {
        class: "s3d-canvas", tabindex: "0", role: "application", "aria-label": `${name} plane`,
        "aria-roledescription": "slice", "aria-describedby": this.viewer.helpId,
      });
      this.place = html("span", { class: "s3d-place" });
      const last = this.grid.shape[this.view.axis] - 1;
      this.slider = html("input", { type: "range", min: 0, max: last, step: 1, "aria-label": `${name} slice` });
      this.element = html("div", { class: "s3d-plane", "data-axis": this.view.axis },
        html("div", { class: "s3d-plane-head" }, html("strong", {}, name), this.place, this.slider), this.canvas);
    }

    /** Size in CSS pixels of the image and of the canvas around it, at a scale in pixels per mm. */
    sizeAt(scale) {
      const [width, height] = ["across", "down"].map((side) => Math.round(this.sizeMm(side) * scale));
      return { width, height, canvasWidth: width + MARGIN.left + MARGIN.right, canvasHeight: height + MARGIN.top + MARGIN.bottom };
    }

    sizeMm(side) {
      const axis = this.view[side];
      return this.grid.shape[axis] * this.grid.spacing_mm[axis];
    }

    layOut(scale) {
      const size = this.sizeAt(scale);
      this.box = { x: MARGIN.left, y: MARGIN.top, width: size.width, height: size.height };
      this.canvas.style.width = `${size.canvasWidth}px`;
      this.canvas.style.height = `${size.canvasHeight}px`;
      this.element.style.width = `${size.canvasWidth}px`;
      this.resize(size);
    }

    resize(size) {
      const ratio = Math.max(1, window.devicePixelRatio || 1);
      this.canvas.width = Math.round(size.canvasWidth * ratio);
      this.canvas.height = Math.round(size.canvasHeight * ratio);
      this.context = this.canvas.getContext("2d");
      this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    }

    /** Read what is to be shown, then paint it, unless something newer is painted already. */
    async draw() {
      const turn = ++this.turn;
      const wanted = this.viewer.wanted(this.view.axis);
      const shown = await wanted;
      if (turn < this.painted) return;
      this.painted = turn;
      this.shown = shown;
      this.paint();
    }

    /** Paint what was read last. */
    paint() {
      if (!this.shown || !this.box) return;
      const { context, canvas } = this;
      context.clearRect(0, 0, canvas.width, canvas.height);
      this.paintImages();
      this.clipped(() => {
        for (const line of this.shown.lines) this.paintLines(line);
        if (this.viewer.state.points) S3D.marks.points(this);
        S3D.marks.cross(this);
        S3D.marks.beam(this);
      });
      S3D.marks.ends(this);
      S3D.marks.scale(this, "across");
      S3D.marks.scale(this, "down");
      this.tell();
    }

    paintImages() {
      const { x, y, width, height } = this.box;
      S3D.colours.fillNoValue(this.context, x, y, width, height);
      this.context.imageSmoothingEnabled = false;
      for (const image of this.shown.images) {
        this.context.globalAlpha = image.opacity;
        this.context.drawImage(this.bitmap(image), x, y, width, height);
      }
      this.context.globalAlpha = 1;
    }

    /** An image of one pixel a voxel, kept with its plane until colours or window change. */
    bitmap({ plane, how, key }) {
      if (plane.painted?.key === key) return plane.painted.bitmap;
      const image = S3D.colours.paint(plane, this.view, this.grid.shape, how);
      const bitmap = new OffscreenCanvas(image.width, image.height);
      bitmap.getContext("2d").putImageData(image, 0, 0);
      plane.painted = { key, bitmap };
      return bitmap;
    }

    clipped(paint) {
      this.context.save();
      this.context.beginPath();
      this.context.rect(this.box.x, this.box.y, this.box.width, this.box.height);
      this.context.clip();
      paint();
      this.context.restore();
    }

    /** Canvas position of a voxel index (fractions allowed) along one side of the plane; centres are at whole numbers. */
    along(side, index) {
      const n = this.grid.shape[this.view[side]];
      const isFlipped = side === "across" ? this.view.flipAcross : this.view.flipDown;
      const share = ((isFlipped ? n - 1 - index : index) + 0.5) / n;
      return side === "across" ? this.box.x + share * this.box.width : this.box.y + share * this.box.height;
    }

    point(voxel) {
      return [this.along("across", voxel[this.view.across]), this.along("down", voxel[this.view.down])];
    }

    /** Length of one voxel on the canvas. */
    voxelSize() {
      const { width, height } = this.box;
      return [width / this.grid.shape[this.view.across], height / this.grid.shape[this.view.down]];
    }

    paintLines({ lines, colour, dash, width }) {
      if (lines.path?.box !== this.box) lines.path = { box: this.box, drawn: this.pathOf(lines) };
      S3D.marks.stroke(this.context, lines.path.drawn, colour, width, dash);
    }

    pathOf(lines) {
      const path = new Path2D();
      const isColAcross = this.view.across > this.view.down;
      for (const line of lines)
        line.forEach(([row, col], n) => {
          const [x, y] = [this.along("across", isColAcross ? col : row), this.along("down", isColAcross ? row : col)];
          if (n === 0) path.moveTo(x, y);
          else path.lineTo(x, y);
        });
      return path;
    }

    /** Where this slice is, in words and on its slider. */
    tell() {
      const { axis } = this.view;
      const index = this.shown.voxel[axis];
      const { name, start, step } = S3D.geometry.coordinate(this.grid, axis);
      const text = `${name} = ${S3D.geometry.short(start + index * step, 5)} mm`;
      this.place.textContent = `${text}, ${"ijk"[axis]} = ${index}`;
      this.slider.value = index;
      this.slider.setAttribute("aria-valuetext", `${text}, slice ${index} of 0 to ${this.grid.shape[axis] - 1}`);
    }

    listen() {
      const { canvas, viewer, view } = this;
      this.slider.addEventListener("input", () => viewer.moveAlong(view.axis, Number(this.slider.value)));
      this.slider.addEventListener("focus", () => (viewer.active = this));
      canvas.addEventListener("focus", () => (viewer.active = this));
      canvas.addEventListener("keydown", (event) => this.onKey(event));
      canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
      canvas.addEventListener("pointerdown", (event) => this.onDown(event));
      canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && this.follow(event));
      canvas.addEventListener("pointerup", (event) => this.onUp(event));
      canvas.addEventListener("pointercancel", () => (this.pressedAt = null)); // a finger that scrolls the page
    }

    /** Indices along the screen that lie under a pointer, the nearest ones where it is outside of the image. */
    voxelUnder(event) {
      const frame = this.canvas.getBoundingClientRect();
      const index = (side, offset, length, isFlipped) => {
        const n = this.grid.shape[this.view[side]];
        const at = Math.min(n - 1, Math.max(0, Math.floor((offset / length) * n)));
        return isFlipped ? n - 1 - at : at;
      };
      const voxel = [...this.viewer.state.voxel];
      voxel[this.view.across] = index("across", event.clientX - frame.left - this.box.x, this.box.width, this.view.flipAcross);
      voxel[this.view.down] = index("down", event.clientY - frame.top - this.box.y, this.box.height, this.view.flipDown);
      return voxel;
    }

    onDown(event) {
      if (event.button !== 0) return;
      this.canvas.focus({ preventScroll: true });
      this.canvas.setPointerCapture(event.pointerId);
      this.pressedAt = [event.clientX, event.clientY];
      this.follow(event);
    }

    follow(event) {
      this.viewer.moveTo(this.voxelUnder(event));
    }

    /** A press that did not become a drag picks the voxel. */
    onUp(event) {
      if (!this.pressedAt) return;
      const moved = Math.hypot(event.clientX - this.pressedAt[0], event.clientY - this.pressedAt[1]);
      this.pressedAt = null;
      if (moved < 4) this.viewer.pick();
    }

    /** The wheel turns slices once the viewer has the focus; before, it scrolls the page. */
    onWheel(event) {
      if (!this.viewer.root.contains(document.activeElement) || event.ctrlKey || event.deltaY === 0) return;
      event.preventDefault();
      this.viewer.moveBy(this.view.axis, event.deltaY > 0 ? 1 : -1);
    }

    onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const { viewer, view } = this;
      const far = event.shiftKey ? 10 : 1;
      const [right, down] = KEYS[event.key] ?? [0, 0];
      if (right) viewer.moveBy(view.across, far * (view.flipAcross ? -right : right));
      else if (down) viewer.moveBy(view.down, far * (view.flipDown ? -down : down));
      else if (event.key === "PageUp" || event.key === "PageDown") viewer.moveBy(view.axis, event.key === "PageUp" ? far : -far);
      else if (event.key === "Home") viewer.moveAlong(view.axis, 0);
      else if (event.key === "End") viewer.moveAlong(view.axis, this.grid.shape[view.axis] - 1);
      else if (event.key === "Enter") viewer.pick();
      else if (event.key === " ") viewer.play();
      else return;
      event.preventDefault();
    }
  }

  S3D.Plane = Plane;
})();
