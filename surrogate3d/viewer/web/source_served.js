/* Data that a server on this machine hands out piece by piece (surrogate3d view); each request carries the session's token. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const STORED = "s3d-token";
  const PLANES_KEPT = 96;

  /** The token of the address the page was opened at, which then no longer shows it; kept while the tab is open. */
  function takeToken(page) {
    const { location, history, sessionStorage } = page.defaultView;
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (given) {
      sessionStorage.setItem(STORED, given);
      history.replaceState(null, "", location.pathname);
    }
    return given ?? sessionStorage.getItem(STORED) ?? "";
  }

  /** New values in the same objects, which others hold, too. */
  function takeOver(old, found) {
    for (const [key, value] of Object.entries(found)) {
      const both = [old[key], value].every((each) => each && typeof each === "object" && !Array.isArray(each));
      if (both) takeOver(old[key], value);
      else old[key] = value;
    }
  }

  class ServedSource {
    /**
     * The scene of the server that the page came from.
     * @param {Document} page
     * @returns {Promise<ServedSource>}
     */
    static async open(page) {
      const source = new ServedSource(takeToken(page));
      source.scene = await source.json("/scene");
      if (source.scene.recompute) source.recompute = (asked) => source.post(asked);
      return source;
    }

    constructor(token) {
      this.token = token;
      this.scene = null;
      this.kept = new Map();
    }

    /** An answer of the server; its refusal becomes an error in its words. */
    async ask(path, options = {}) {
      const headers = { "X-Surrogate3D-Token": this.token, ...options.headers };
      const answer = await fetch(path, { ...options, headers, cache: "no-store" });
      if (answer.ok) return answer;
      const said = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
      throw new Error(said.error);
    }

    async json(path, options) {
      return (await this.ask(path, options)).json();
    }

    plane(layer, axis, index) {
      const version = this.scene.layers.find((entry) => entry.name === layer)?.version ?? 0;
      return this.cut(`/plane/${encodeURIComponent(layer)}/${axis}/${index}?v=${version}`, axis);
    }

    structurePlane(name, axis, index) {
      return this.cut(`/structure/${encodeURIComponent(name)}/${axis}/${index}`, axis);
    }

    /** A plane, which is asked for once while it is among the last that were used. */
    cut(path, axis) {
      const found = this.kept.get(path) ?? this.read(path, axis);
      this.kept.delete(path);
      this.kept.set(path, found);
      found.catch(() => this.kept.delete(path));
      if (this.kept.size > PLANES_KEPT) this.kept.delete(this.kept.keys().next().value);
      return found;
    }

    async read(path, axis) {
      const bytes = await (await this.ask(path)).arrayBuffer();
      const [rows, cols] = this.scene.grid.shape.filter((_, other) => other !== axis);
      return { values: new Float32Array(bytes), rows, cols };
    }

    voxel(i, j, k) {
      return this.json(`/voxel/${i}/${j}/${k}`);
    }

    /**
     * New parts of the manifest for other settings. All but the layers are put into `scene` here; the viewer takes the
     * layers over when it hears "s3d:scene", so that it sees which of them are new.
     */
    async post(asked) {
      const headers = { "Content-Type": "application/json" };
      const parts = await this.json("/recompute", { method: "POST", headers, body: JSON.stringify(asked) });
      const { layers, said, voxels, ...others } = parts;
      Object.assign(this.scene, others);
      if (voxels && this.scene.voxels) takeOver(this.scene.voxels, voxels);
      return parts;
    }
  }

  S3D.ServedSource = ServedSource;
})();
