/* What is shown, and the three planes that show it: the state, its cache of planes, and the events that others hear. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const CACHE_BYTES = 64e6;
  const FRAMES_PER_SECOND = 12;
  const TWO_COLUMNS = 560; // px of room from which planes stand side by side
  const VALUES_WIDTH = 250;
  const ISODOSE_DASHES = [[], [9, 4], [9, 3, 2, 3], [2, 3], [14, 3, 2, 3, 2, 3]];
  let count = 0;

  /** Planes that were read, the least recently used ones dropped. */
  class Cache {
    constructor(limit) {
      Object.assign(this, { limit, held: new Map() });
    }

    get(key, read) {
      const found = this.held.get(key) ?? read();
      this.held.delete(key);
      this.held.set(key, found);
      found.catch?.(() => this.held.delete(key));
      if (this.held.size > this.limit) this.held.delete(this.held.keys().next().value);
      return found;
    }
  }

  class Viewer {
    /**
     * Build the planes and controls in `root`. Events on `root`: "s3d:voxel" {voxel} when the cross-hair moves, "s3d:pick"
     * {voxel} on a click or Enter, "s3d:layer" {layer}; "s3d:scene" {layers} is heard, and replaces what is named.
     * @param {HTMLElement} root
     * @param {EmbeddedSource | ServedSource} source
     */
    constructor(root, source) {
      Object.assign(this, { root, source, helpId: `s3d-help-${++count}` });
      const [ni, nj, nk] = this.scene.grid.shape;
      const largest = 4 * Math.max(ni * nj, ni * nk, nj * nk);
      this.cache = new Cache(Math.min(1500, Math.max(30, Math.floor(CACHE_BYTES / largest))));
      this.state = this.firstState();
      this.buildElements();
      this.listen();
      this.layOut();
      this.invalidate();
    }

    /** The manifest; a recomputation may put another in its place. */
    get scene() {
      return this.source.scene;
    }

    firstState() {
      const { scene } = this;
      return {
        voxel: [...scene.focus],
        base: scene.layers[0].name,
        overlay: null,
        opacity: 0.5,
        hideBelow: true,
        isodose: Boolean(scene.isodose),
        structures: new Set((scene.structures ?? []).map((structure) => structure.name)),
        points: Boolean(scene.points?.length),
        windows: new Map(scene.layers.map((layer) => [layer.name, [...layer.window]])),
      };
    }

    buildElements() {
      const { html } = S3D.charts;
      this.planes = S3D.geometry.views(this.scene.grid, this.scene.beam).map((view) => new S3D.Plane(view, this));
      this.active = this.planes.find((plane) => plane.view.title === "Axial") ?? this.planes[0];
      this.values = new S3D.Values(this);
      this.controls = new S3D.Controls(this);
      this.status = html("p", { class: "s3d-status", role: "alert", hidden: true });
      const [first, second, third] = this.planes.map((plane) => plane.element);
      this.area = html("div", { class: "s3d-planes" }, first, second, third, this.values.element);
      const main = html("div", { class: "s3d-main" }, this.area, this.controls.element);
      this.element = html("section", { class: "s3d-viewer", "aria-label": "Slice viewer" }, this.status, main);
      this.root.append(this.element);
    }

    listen() {
      this.root.addEventListener("s3d:scene", (event) => this.replace(event.detail));
      new ResizeObserver(() => this.fit()).observe(this.area);
      for (const query of ["(prefers-color-scheme: dark)", "print"])
        matchMedia(query).addEventListener("change", () => this.repaint());
      for (const [event, isPrinting] of [["beforeprint", true], ["afterprint", false]])
        addEventListener(event, () => {
          S3D.printing = isPrinting;
          this.repaint();
        });
    }

    layer(name) {
      return this.scene.layers.find((layer) => layer.name === name);
    }

    // What is shown ------------------------------------------------------------------------------------------------

    /** A plane of a layer, from the cache where it is there. */
    plane(name, axis, index) {
      const key = `layer/${name}/${axis}/${index}/${this.layer(name).version ?? 0}`;
      return this.cache.get(key, () => this.source.plane(name, axis, index));
    }

    structurePlane(name, axis, index) {
      return this.cache.get(`structure/${name}/${axis}/${index}`, () => this.source.structurePlane(name, axis, index));
    }

    /** Everything that a plane across `axis` shows now: its images from below to above, its lines, the cross-hair. */
    async wanted(axis) {
      const voxel = [...this.state.voxel];
      const index = voxel[axis];
      const layers = [this.state.base, this.state.overlay].filter(Boolean);
      const [planes, ...lines] = await Promise.all([
        Promise.all(layers.map((name) => this.plane(name, axis, index))),
        this.isodoseLines(axis, index),
        ...(this.scene.structures ?? []).map((structure, n) => this.structureLines(structure, n, axis, index)),
      ]);
      const images = planes.map((plane, n) => this.image(layers[n], plane, n === 1));
      return { voxel, images, lines: lines.flat() };
    }

    image(name, plane, isOverlay) {
      const [low, high] = this.state.windows.get(name);
      const layer = this.layer(name);
      const above = isOverlay && this.state.hideBelow && !layer.symmetric ? low : -Infinity;
      const how = { colours: S3D.colours.table(this.scene, layer.colours), low, high, above };
      return { plane, how, key: `${layer.colours}/${low}/${high}/${above}`, opacity: isOverlay ? this.state.opacity : 1 };
    }

    async isodoseLines(axis, index) {
      const { isodose } = this.scene;
      if (!isodose || !this.state.isodose) return [];
      const plane = await this.plane(isodose.layer, axis, index);
      return isodose.percents.map((percent, n) => ({
        lines: Viewer.linesOf(plane, (percent / 100) * isodose.base), colour: "#ffffff", ...Viewer.isodoseStyle(n),
      }));
    }

    async structureLines(structure, n, axis, index) {
      if (!this.state.structures.has(structure.name)) return [];
      const plane = await this.structurePlane(structure.name, axis, index);
      return [{ lines: Viewer.linesOf(plane, 0.5), colour: structure.colour, ...Viewer.structureStyle(n) }];
    }

    /** Lines of a plane at a level, kept with the plane. */
    static linesOf(plane, level) {
      plane.lines ??= new Map();
      if (!plane.lines.has(level)) plane.lines.set(level, S3D.contours.lines(plane, level));
      return plane.lines.get(level);
    }

    static isodoseStyle(n) {
      return { dash: ISODOSE_DASHES[n % ISODOSE_DASHES.length], width: 1.3 };
    }

    static structureStyle(n) {
      const dashes = S3D.charts.DASHES[n % S3D.charts.DASHES.length];
      return { dash: dashes === "none" ? [] : dashes.split(" ").map(Number), width: 2 };
    }

    // Changes ------------------------------------------------------------------------------------------------------

    moveTo(voxel) {
      const inside = voxel.map((at, axis) => Math.min(this.scene.grid.shape[axis] - 1, Math.max(0, at)));
      if (inside.every((at, axis) => at === this.state.voxel[axis])) return;
      this.state.voxel = inside;
      this.invalidate();
      this.dispatch("s3d:voxel", { voxel: [...inside] });
    }

    moveAlong(axis, index) {
      this.moveTo(this.state.voxel.map((at, a) => (a === axis ? index : at)));
    }

    moveBy(axis, steps) {
      this.moveAlong(axis, this.state.voxel[axis] + steps);
    }

    pick() {
      this.dispatch("s3d:pick", { voxel: [...this.state.voxel] });
    }

    /** Change part of the state, such as {overlay: "LET_d"}. */
    set(change) {
      const isOtherLayer = change.base && change.base !== this.state.base;
      Object.assign(this.state, change);
      this.invalidate();
      if (isOtherLayer) this.dispatch("s3d:layer", { layer: this.state.base });
    }

    setWindow(name, low, high) {
      this.state.windows.set(name, [low, high]);
      this.invalidate();
    }

    /** Take parts of a newer manifest: layers of the same name are replaced; their version tells the cache. */
    replace({ layers = [] }) {
      for (const layer of layers) {
        const at = this.scene.layers.findIndex((known) => known.name === layer.name);
        if (at < 0) this.scene.layers.push(layer);
        else this.scene.layers[at] = layer;
        if (at < 0) this.state.windows.set(layer.name, [...layer.window]);
      }
      this.controls.relist();
      this.controls.relabel();
      this.values.forget();
      this.invalidate();
    }

    /** Play through the slices of the plane that was used last; one slice a press where motion is not wanted. */
    play() {
      const { axis } = this.active.view;
      const step = () => this.moveAlong(axis, (this.state.voxel[axis] + 1) % this.scene.grid.shape[axis]);
      if (Viewer.isStill()) step();
      else if (this.playing) this.stop();
      else this.playing = setInterval(() => this.drawing || step(), 1000 / FRAMES_PER_SECOND);
      this.controls.tellPlaying();
    }

    /** Whether the reader asked for no motion. */
    static isStill() {
      return matchMedia("(prefers-reduced-motion: reduce)").matches;
    }

    stop() {
      clearInterval(this.playing);
      this.playing = null;
    }

    dispatch(name, detail) {
      this.root.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
    }

    // Drawing ------------------------------------------------------------------------------------------------------

    /** Draw once before the next frame, however often this is called until then. */
    invalidate() {
      if (this.frame) return;
      this.frame = new Promise((resolve) => requestAnimationFrame(resolve)).then(() => this.drawAll());
    }

    async drawAll() {
      this.frame = null;
      const drawing = Promise.all(this.planes.map((plane) => plane.draw()));
      this.drawing = drawing;
      this.controls.paint();
      this.values.soon();
      try {
        await drawing;
        this.say("");
      } catch (error) {
        this.say(error.message);
      }
      if (this.drawing === drawing) this.drawing = null;
    }

    /** Resolves when everything that was asked for so far is on the screen. */
    async settled() {
      while (this.frame || this.drawing) await (this.frame ?? this.drawing.catch(() => null));
    }

    repaint() {
      for (const plane of this.planes) plane.paint();
      this.controls.paint();
    }

    say(text) {
      this.status.textContent = text;
      this.status.hidden = !text;
    }

    // Room ---------------------------------------------------------------------------------------------------------

    fit() {
      const room = this.area.clientWidth;
      if (room === this.room) return;
      this.layOut();
      this.repaint();
    }

    /**
     * Two columns where there is room for them, with one scale for all planes and the values in the free corner; else one
     * column, in which small planes are drawn larger.
     */
    layOut() {
      this.room = this.area.clientWidth;
      const isWide = this.room >= TWO_COLUMNS;
      const wide = isWide && this.wideScale();
      for (const plane of this.planes) plane.layOut(isWide ? wide : this.narrowScale(plane));
      const first = Number.parseFloat(this.planes[0].element.style.width);
      this.area.style.gridTemplateColumns = isWide ? `${first}px minmax(0, 1fr)` : "minmax(0, 1fr)";
      this.area.classList.toggle("s3d-values-below", !isWide || this.room - first - 16 < VALUES_WIDTH - 30);
    }

    wideScale() {
      const [first, second, third] = this.planes;
      const margins = first.sizeAt(0).canvasWidth;
      const bothWide = (this.room - 2 * margins - 16) / (first.sizeMm("across") + second.sizeMm("across"));
      const withValues = (this.room - margins - 16 - VALUES_WIDTH) / first.sizeMm("across");
      const height = Math.min(760, Math.max(420, window.innerHeight - 190));
      const bothHigh = height / (first.sizeMm("down") + third.sizeMm("down"));
      return Math.min(bothHigh, withValues > 0.75 * bothWide ? Math.min(bothWide, withValues) : bothWide);
    }

    narrowScale(plane) {
      const width = (this.room - plane.sizeAt(0).canvasWidth) / plane.sizeMm("across");
      return Math.max(0.05, Math.min(width, Math.max(220, 0.4 * window.innerHeight) / plane.sizeMm("down")));
    }
  }

  S3D.Viewer = Viewer;
})();
