/* Data that lie in the page itself: blocks of base64 of zlib, each decoded when something of it is first asked for. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const CODES = { 8: Uint8Array, 16: Uint16Array, 32: Uint32Array };

  function bytesOfBase64(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  }

  async function inflate(bytes) {
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(plain).arrayBuffer());
  }

  /** Undo the byte planes (low bytes first) and the differences; the typed array wraps as the encoder did. */
  function codesOf(bytes, bits) {
    const width = bits / 8;
    const n = bytes.length / width;
    const codes = new CODES[bits](n);
    let sum = 0;
    for (let i = 0; i < n; i++) {
      let difference = 0;
      for (let plane = 0; plane < width; plane++) difference |= bytes[plane * n + i] << (8 * plane);
      sum = (sum + difference) | 0;
      codes[i] = sum;
    }
    return codes;
  }

  /** Place of `wanted` in ascending `sorted`, or -1. */
  function find(sorted, wanted) {
    let low = 0;
    let high = sorted.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] === wanted) return middle;
      if (sorted[middle] < wanted) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** Value of a code: 0 is no value. */
  const decode = (code, block) => (code === 0 ? NaN : block.lo + (code - 1) * block.step);

  /** Places of one axis of the whole grid in a block's box along that axis; -1 is outside of the box. */
  function placesAlong(n, stride, [low, high], nOfLattice) {
    return Int32Array.from({ length: n }, (_, index) => {
      const at = Math.min(Math.round(index / stride), nOfLattice - 1);
      return at >= low && at < high ? at - low : -1;
    });
  }

  class EmbeddedSource {
    /**
     * The data of a page: `#s3d-scene` is the manifest, `#s3d-data-N` are the blocks.
     * @param {Document} page
     * @returns {Promise<EmbeddedSource>}
     */
    static async open(page) {
      const element = page.getElementById("s3d-scene");
      if (!element) throw new Error("this page holds no scene: no element #s3d-scene");
      const scene = JSON.parse(element.textContent);
      if (scene.schema !== "surrogate3d.scene/1")
        throw new Error(`a scene of schema surrogate3d.scene/1 was expected, found ${scene.schema}`);
      return new EmbeddedSource(page, scene);
    }

    constructor(page, scene) {
      this.page = page;
      this.scene = scene;
      this.stride = scene.stride ?? 1;
      this.lattice = scene.grid.shape.map((n) => Math.ceil(n / this.stride));
      this.blocks = new Map();
    }

    /** Codes of a block, decoded once. */
    codes(block) {
      if (!this.blocks.has(block.id)) this.blocks.set(block.id, this.read(block));
      return this.blocks.get(block.id);
    }

    async read(block) {
      const element = this.page.getElementById(block.id);
      if (!element) throw new Error(`this page holds no block ${block.id}`);
      return codesOf(await inflate(bytesOfBase64(element.textContent.trim())), block.bits);
    }

    named(list, name, what) {
      const found = this.scene[list].find((entry) => entry.name === name);
      if (!found) throw new Error(`the scene has no ${what} ${name}`);
      return found.data;
    }

    plane(layer, axis, index) {
      return this.cut(this.named("layers", layer, "layer"), axis, index);
    }

    structurePlane(name, axis, index) {
      return this.cut(this.named("structures", name, "structure"), axis, index);
    }

    /** One plane of a block as float32; outside of the box is `block.outside`, or no value. */
    async cut(block, axis, index) {
      const codes = await this.codes(block);
      const [rowAxis, colAxis] = [0, 1, 2].filter((other) => other !== axis);
      const [rows, cols] = [this.places(block, rowAxis), this.places(block, colAxis)];
      const at = this.places(block, axis)[index];
      const strides = this.stridesOf(block.box);
      const values = new Float32Array(rows.length * cols.length).fill(block.outside ?? NaN);
      for (let row = 0; row < rows.length && at >= 0; row++) {
        if (rows[row] < 0) continue;
        const start = at * strides[axis] + rows[row] * strides[rowAxis];
        for (let col = 0; col < cols.length; col++)
          if (cols[col] >= 0)
            values[row * cols.length + col] = decode(codes[start + cols[col] * strides[colAxis]], block);
      }
      return { values, rows: rows.length, cols: cols.length };
    }

    places(block, axis) {
      return placesAlong(this.scene.grid.shape[axis], this.stride, block.box[axis], this.lattice[axis]);
    }

    stridesOf(box) {
      const [, nj, nk] = box.map(([low, high]) => high - low);
      return [nj * nk, nk, 1];
    }

    /** What is known of one voxel beyond its maps, or null. */
    async voxel(i, j, k) {
      const data = this.scene.voxels?.data;
      if (!data) return null;
      const flat = await this.codes(data.index);
      const found = this.candidates([i, j, k])
        .map((at) => ({ at, place: find(flat, this.flatIndex(at)) }))
        .find(({ place }) => place >= 0);
      if (!found) return null;
      const [effect, halfWidth] = await Promise.all([this.effect(found.place), this.halfWidth(found.place)]);
      return { at: found.at, effect, half_width: halfWidth, spectrum: await this.spectrum(found.place) };
    }

    flatIndex([i, j, k]) {
      const [, nj, nk] = this.scene.grid.shape;
      return (i * nj + j) * nk + k;
    }

    /** The voxel itself, and the nearest of those of which every n-th was embedded. */
    candidates(voxel) {
      const n = this.scene.voxels.data.stride ?? 1;
      const last = this.scene.grid.shape.map((size) => Math.ceil(size / n) - 1);
      return [voxel, voxel.map((at, a) => Math.min(Math.round(at / n), last[a]) * n)];
    }

    async effect(place) {
      const { doses, data } = this.scene.voxels;
      const codes = await this.codes(data.effect);
      return doses.map((_, d) => Math.exp(decode(codes[place * doses.length + d], data.effect)));
    }

    async halfWidth(place) {
      const block = this.scene.voxels.data.half_width;
      return block ? decode((await this.codes(block))[place], block) : NaN;
    }

    /** Fluence per species and bin on a scale of the voxel's own, or null; stored is the square root of bins' doses. */
    async spectrum(place) {
      const { bins, data } = this.scene.voxels;
      if (!bins || !data.spectrum) return null;
      const codes = await this.codes(data.spectrum);
      const nBins = Math.max(...bins.edges_mev_u.map((edges) => edges.length - 1));
      return bins.edges_mev_u.map((edges, s) => {
        const start = (place * bins.species.length + s) * nBins;
        const perFluence = bins.dose_per_fluence[s];
        return Array.from(codes.subarray(start, start + edges.length - 1), (code, bin) =>
          perFluence[bin] > 0 ? (code / 255) ** 2 / perFluence[bin] : 0,
        );
      });
    }
  }

  S3D.EmbeddedSource = EmbeddedSource;
})();
