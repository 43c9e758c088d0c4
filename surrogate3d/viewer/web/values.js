/* What all layers, structures and simulations say at the cross-hair, as a table. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const WAIT_MS = 60;
  const DIGITS = 4;

  /** Size of one step of the last digit that is printed. */
  const lastDigit = (value) => (value === 0 ? 0 : 10 ** (Math.floor(Math.log10(Math.abs(value))) + 1 - DIGITS));

  class Values {
    constructor(viewer) {
      Object.assign(this, { viewer, cells: new Map(), turn: 0 });
      const { html } = S3D.charts;
      this.caption = html("caption", {});
      this.body = html("tbody", { "aria-live": "polite" });
      this.table = html("table", { class: "s3d-values-table" }, this.caption, this.body);
      this.note = html("p", { class: "s3d-note" });
      this.element = html("div", { class: "s3d-values", tabindex: 0, role: "region", "aria-label": "Values at the cross-hair" }, this.table, this.note);
      this.note.textContent = this.storedNote();
    }

    /** What the page does not hold in full. */
    storedNote() {
      const { scene } = this.viewer;
      const isRounded = scene.layers.some((layer) => layer.step > 0);
      const rounded = isRounded ? "\u00b1 is the rounding in this page, given where it reaches the last digit. " : "";
      const n = scene.stride ?? 1;
      return n === 1 ? rounded : `${rounded}One voxel in ${n} along each axis is in this page; in between, the nearest one is shown.`;
    }

    /** Read the values once the cross-hair rests, so that a drag is not held up. */
    soon() {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.read(), WAIT_MS);
    }

    async read() {
      const turn = ++this.turn;
      const { viewer } = this;
      const voxel = [...viewer.state.voxel];
      try {
        const rows = [];
        for (const layer of viewer.scene.layers) rows.push(this.layerRow(layer, await this.at(voxel, layer.name)));
        for (const structure of viewer.scene.structures ?? [])
          rows.push(this.structureRow(structure, await this.at(voxel, structure.name, true)));
        if (turn === this.turn) this.show(voxel, [...rows.filter(Boolean), ...this.pointRows(voxel)]);
      } catch (error) {
        viewer.say(error.message);
      }
    }

    /** A value at a voxel, by way of the plane that the reader moves in: while it is dragged over, it is read once. */
    async at(voxel, name, isStructure = false) {
      const { axis } = this.viewer.active.view;
      const read = isStructure ? this.viewer.structurePlane(name, axis, voxel[axis]) : this.viewer.plane(name, axis, voxel[axis]);
      const { values, cols } = await read;
      const [row, col] = voxel.filter((_, a) => a !== axis);
      return values[row * cols + col];
    }

    layerRow(layer, value) {
      const { number, unit } = S3D.charts;
      const isKnown = Number.isFinite(value);
      const rounding = isKnown && layer.step > lastDigit(value) / 2 ? ` \u00b1${number(layer.step, 2)}` : "";
      return {
        key: `layer/${layer.name}`, title: layer.title, symbol: layer.symbol, hint: layer.definition, value,
        text: isKnown ? Values.text(layer, value) : "no value",
        unit: isKnown ? unit(layer.unit) : "", rounding,
      };
    }

    static text(layer, value) {
      return layer.group === "mask" ? S3D.geometry.short(value, 3) : S3D.charts.number(value, DIGITS);
    }

    structureRow(structure, fraction) {
      if (!(fraction > 0)) return null;
      const percent = `${S3D.charts.number(100 * fraction, 3).replace(/\.0+$/, "")} %`;
      const [key, title] = [`structure/${structure.name}`, `Inside ${structure.name}`];
      return { key, title, symbol: "", value: fraction, text: percent, unit: "", rounding: "" };
    }

    /** What was simulated in this voxel, with its standard error. */
    pointRows(voxel) {
      const point = (this.viewer.scene.points ?? []).find((each) => each.voxel.every((at, a) => at === voxel[a]));
      if (!point) return [];
      const { number } = S3D.charts;
      const use = point.held_out ? "held out" : "used for training";
      return Object.entries(point.values)
        .filter(([name]) => !name.endsWith("_se"))
        .map(([name, value]) => {
          const error = point.values[`${name}_se`];
          const rounding = error == null ? "" : ` \u00b1${number(error, 2)} (s.e.)`;
          const [key, title] = [`point/${name}`, `Simulated directly (${use})`];
          return { key, title, symbol: name, value, text: number(value, DIGITS), unit: "", rounding };
        });
    }

    show(voxel, rows) {
      const { html } = S3D.charts;
      const mm = S3D.geometry.positionMm(this.viewer.scene.grid, voxel).map((at) => S3D.geometry.short(at, 5)).join(", ");
      this.caption.replaceChildren(
        html("span", {}, `Voxel ${voxel.join(", ")}`), html("span", { class: "s3d-muted" }, `x, y, z = ${mm} mm`));
      const keys = this.isOutdated ? [] : rows.map((row) => row.key);
      this.isOutdated = false;
      for (const [key, cells] of this.cells)
        if (!keys.includes(key)) {
          cells.row.remove();
          this.cells.delete(key);
        }
      rows.forEach((row) => this.fill(this.cells.get(row.key) ?? this.add(row), row));
      this.table.dataset.voxel = voxel.join(",");
    }

    /** Build the rows anew when they are next shown, as titles may have changed. */
    forget() {
      this.isOutdated = true;
    }

    add({ key, title, symbol, hint }) {
      const { html, symbolNodes } = S3D.charts;
      const cells = { value: html("td", {}), unit: html("td", { class: "s3d-unit" }) };
      const sign = symbol ? html("span", { class: "s3d-muted" }, symbolNodes(symbol)) : null;
      const name = html("th", { scope: "row", title: hint }, title, " ", sign);
      cells.row = html("tr", { "data-key": key }, name, cells.value, cells.unit);
      this.body.append(cells.row);
      this.cells.set(key, cells);
      return cells;
    }

    /** Only what changed is written, so that only that is read aloud. */
    fill({ value, unit }, row) {
      if (value.textContent !== row.text) value.textContent = row.text;
      value.dataset.value = Number.isFinite(row.value) ? row.value : "";
      value.classList.toggle("s3d-muted", !Number.isFinite(row.value));
      const beside = row.unit + row.rounding;
      if (unit.textContent !== beside) unit.textContent = beside;
    }
  }

  S3D.Values = Values;
})();
