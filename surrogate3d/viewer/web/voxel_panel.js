/** What is known of one voxel: RBE at 2 Gy and at its own dose, survival curve, spectrum, direct simulation. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const ROUNDED = "Spectra in this page are rounded to save space; effects that follow from them move by about 0.1 %.";
  const REFERENCE_DOSE = 2; // Gy, at which RBE is compared between voxels

  /** Place of a voxel's centre in mm (LPS); columns of the direction are the index axes. */
  function position(grid, voxel) {
    return [0, 1, 2].map(
      (row) =>
        grid.origin_mm[row] +
        voxel.reduce((sum, at, axis) => sum + grid.direction[row][axis] * at * grid.spacing_mm[axis], 0),
    );
  }

  const same = (a, b) => a.length === b.length && a.every((v, n) => v === b[n]);

  class VoxelPanel {
    /**
     * Listens on `root` for "s3d:voxel" and "s3d:pick"; adds nothing where the scene knows nothing of single voxels.
     * @param {HTMLElement} root
     * @param {{scene: object, voxel: Function, plane: Function}} source
     */
    constructor(root, source) {
      Object.assign(this, { source, follows: true, wanted: null, busy: false });
      this.stage = S3D.charts.stage(root);
      if (!source.scene.voxels) return;
      root.append(this.#build());
      this.stage.addEventListener("s3d:voxel", (event) => this.follows && this.show(event.detail.voxel));
      this.stage.addEventListener("s3d:pick", (event) => this.show(event.detail.voxel));
      this.stage.addEventListener("s3d:scene", () => this.voxel && this.show(this.voxel));
      this.show(source.scene.focus);
    }

    /**
     * Show a voxel. While one is read only the latest of the others waits.
     * @param {number[]} voxel
     * @returns {Promise<void>} when nothing waits any more
     */
    async show(voxel) {
      this.wanted = [...voxel];
      if (this.busy) return;
      this.busy = true;
      while (this.wanted) {
        const next = this.wanted;
        this.wanted = null;
        await this.#read(next);
      }
      this.busy = false;
    }

    #build() {
      const { html, toggle, card } = S3D.charts;
      this.heading = html("h2", {}, "Voxel");
      this.where = html("p", { class: "s3d-where", "aria-live": "polite" });
      this.tiles = html("dl", { class: "s3d-tiles" });
      const column = html("div", { class: "s3d-column" });
      this.cards = html("div", { class: "s3d-charts s3d-pair" }, column);
      const follow = toggle("follow the cross-hair", true, (on) => (this.follows = on));
      this.survival = new S3D.SurvivalChart(column);
      this.direct = card("Direct simulation");
      column.append(this.direct);
      const { bins } = this.source.scene.voxels;
      this.spectrum = bins ? new S3D.SpectrumChart(this.cards) : null;
      if (this.source.scene.voxels.data?.spectrum)
        this.spectrum?.card.body.append(html("p", { class: "s3d-note" }, ROUNDED));
      const head = html("div", { class: "s3d-panel-head" }, this.heading, follow);
      return (this.element = html(
        "section",
        { class: "s3d-panel", "aria-label": "Voxel" },
        head,
        this.where,
        this.tiles,
        this.cards,
      ));
    }

    async #read(voxel) {
      try {
        const answer = await this.source.voxel(...voxel);
        const own = answer && (await this.#ownDose(answer.at));
        this.#render(voxel, answer, own);
      } catch (error) {
        this.#empty(voxel, `This voxel could not be read: ${error.message}`);
      }
      this.stage.dispatchEvent(new CustomEvent("s3d:voxel-shown", { detail: { voxel } }));
    }

    /** The voxel's dose per fraction; null where the dose has no scale in Gy, as without a prescription. */
    async #ownDose([i, j, k]) {
      const { isodose, layers, voxels } = this.source.scene;
      const named = layers.find((layer) => layer.name === isodose?.layer);
      const layer = named ?? layers.find((each) => each.group === "input" && each.name.startsWith("dose"));
      if (layer?.unit !== "Gy") return null;
      const { values, cols } = await this.source.plane(layer.name, 2, k);
      const total = values[i * cols + j];
      const fractions = voxels.fractions ?? 1;
      return total > 0 ? { total, fractions, dose: total / fractions } : null;
    }

    #head(voxel, text) {
      const [x, y, z] = position(this.source.scene.grid, voxel).map((mm) => mm.toFixed(1).replace("-", "\u2212"));
      this.voxel = voxel;
      this.heading.textContent = `Voxel ${voxel.join(", ")}`;
      this.where.textContent = `x ${x}, y ${y}, z ${z} mm. ${text}`;
    }

    #empty(voxel, text) {
      this.#head(voxel, text);
      this.tiles.replaceChildren();
      this.cards.hidden = true;
    }

    #render(voxel, answer, own) {
      if (!answer)
        return this.#empty(voxel, "There is no answer here: too little dose, or a spectrum that cannot explain it.");
      const { scene } = this.source;
      const point = scene.points.find((p) => same(p.voxel, answer.at)) ?? null;
      const stride = same(answer.at, voxel)
        ? ""
        : `Not every voxel is in this page: shown is the nearest, ${answer.at.join(", ")}. `;
      const simulated = point
        ? `Directly simulated${point.held_out ? ", held out of the training" : ", used in the training"}.`
        : "";
      this.#head(voxel, stride + simulated);
      this.cards.hidden = false;
      this.#buildTiles(answer, own);
      this.#buildDirect(point);
      const { doses, photon } = scene.voxels;
      const flags =
        own && Math.abs(own.dose / REFERENCE_DOSE - 1) < 0.01
          ? [[own.dose, "own dose"]]
          : [[REFERENCE_DOSE, "2 Gy"], ...(own ? [[own.dose, "own dose"]] : [])];
      this.survival.show({ ...answer, doses, photon, point, flags });
      return this.spectrum?.show(scene.voxels.bins, answer.spectrum, (dose) =>
        S3D.survival.effectAt(dose, doses, answer.effect),
      );
    }

    #buildTiles(answer, own) {
      const { html, number } = S3D.charts;
      const { doses, photon } = this.source.scene.voxels;
      const at = (dose) => S3D.survival.rbeAt(dose, doses, answer.effect, answer.half_width, photon);
      const tile = (name, value, note) =>
        html(
          "div",
          {},
          html("dt", {}, name),
          html("dd", {}, html("strong", {}, value), note ? html("small", {}, note) : null),
        );
      const rbe = (found) =>
        found
          ? [number(found.RBE, 4), found.half_width ? `\u00b1 ${number(found.half_width, 2)} (90 %)` : ""]
          : ["\u2013", `simulated up to ${doses.at(-1)} Gy`];
      const tiles = [tile("RBE at 2 Gy", ...rbe(at(REFERENCE_DOSE)))];
      if (own) tiles.push(...this.#ownTiles(own, at(own.dose), tile, rbe));
      this.tiles.replaceChildren(...tiles);
    }

    #ownTiles(own, found, tile, rbe) {
      const { number } = S3D.charts;
      const note = `${number(own.total)} Gy in ${own.fractions} fraction${own.fractions > 1 ? "s" : ""}`;
      const survival = found ? number(Math.exp(-own.fractions * found.effect), 3) : "\u2013";
      return [
        tile("Own dose per fraction", `${number(own.dose)} Gy`, note),
        tile("RBE at its own dose", ...rbe(found)),
        tile("Survival at its own dose", survival, own.fractions > 1 ? `after ${own.fractions} fractions` : ""),
      ];
    }

    #buildDirect(point) {
      const { table } = S3D.charts;
      const names = Object.keys(point?.values ?? {}).filter((name) => !name.endsWith("_se"));
      const rows = names.map((name) => [
        name,
        point.values[name],
        { value: point.values[`${name}_se`] ?? null, text: S3D.charts.number(point.values[`${name}_se`] ?? NaN, 2) },
      ]);
      this.direct.hidden = rows.length === 0;
      this.direct.body.replaceChildren(
        table("Results of the direct simulation", ["quantity", "value", "standard error"], rows),
      );
    }
  }

  S3D.VoxelPanel = VoxelPanel;
})();
