/* Where voxels are, and how the three planes of a grid lie on the screen. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const ENDS = [["R", "L"], ["A", "P"], ["I", "S"]];
  const NAMES = ["Sagittal", "Coronal", "Axial"];

  /** Column `axis` of the direction cosines: the unit vector of an index axis in space (LPS). */
  const column = (grid, axis) => grid.direction.map((row) => row[axis]);

  /**
   * Which axis of space each index axis follows most closely.
   * @returns {{world: number, sign: number, exact: boolean, ends: string[]}[]} `ends`: letters at its low and high index.
   */
  function anatomy(grid) {
    const found = [0, 1, 2].map((axis) => {
      const cosines = column(grid, axis);
      const sizes = cosines.map(Math.abs);
      const world = sizes.indexOf(Math.max(...sizes));
      return { world, sign: Math.sign(cosines[world]) || 1, exact: sizes[world] > 0.9999 };
    });
    const isPermutation = new Set(found.map((axis) => axis.world)).size === 3;
    return found.map((axis, a) => {
      const used = isPermutation ? axis : { world: a, sign: 1, exact: false };
      const ends = used.sign > 0 ? ENDS[used.world] : [...ENDS[used.world]].reverse();
      return { ...used, ends };
    });
  }

  /**
   * The three planes in first-angle order: the first shares its vertical axis with the second, its horizontal one with
   * the third. Patients stand upright (coronal, sagittal, axial); a grid that is long along z lies down, so that depth
   * runs from left to right.
   * @typedef {{axis: number, across: number, down: number, flipAcross: boolean, flipDown: boolean, title: string}} View
   * @returns {View[]}
   */
  function views(grid, beam) {
    const axes = anatomy(grid);
    const [x, y, z] = [0, 1, 2].map((world) => axes.findIndex((axis) => axis.world === world));
    const size = grid.shape.map((n, a) => n * grid.spacing_mm[a]);
    const lies = size[z] > 1.5 * Math.max(size[x], size[y]);
    const triples = lies ? [[x, z, y], [z, x, y], [y, z, x]] : [[y, x, z], [x, y, z], [z, x, y]];
    const flip = (axis, isDown) => {
      if (lies && axis === z && beam?.axis === z) return beam.sign < 0;
      return axes[axis].sign < 0 !== (isDown && axis === z);
    };
    return triples.map(([axis, across, down]) => ({
      axis,
      across,
      down,
      flipAcross: flip(across, false),
      flipDown: flip(down, true),
      title: axes.every((a) => a.exact) ? NAMES[axes[axis].world] : `Oblique, across ${"ijk"[axis]}`,
    }));
  }

  /** LPS position in mm of a voxel (fractions allowed). */
  function positionMm(grid, voxel) {
    return grid.origin_mm.map((origin, world) =>
      voxel.reduce((sum, at, axis) => sum + grid.direction[world][axis] * grid.spacing_mm[axis] * at, origin));
  }

  /** Nearest voxel of an LPS position; it may lie outside of the grid. */
  function nearestVoxel(grid, position) {
    const offset = position.map((at, world) => at - grid.origin_mm[world]);
    return grid.shape.map((_, axis) =>
      Math.round(column(grid, axis).reduce((sum, cosine, world) => sum + cosine * offset[world], 0) / grid.spacing_mm[axis]));
  }

  /** Coordinate in mm along an index axis: that of space where the axis follows one, else the distance from voxel 0. */
  function coordinate(grid, axis) {
    const { world, sign, exact } = anatomy(grid)[axis];
    const step = exact ? sign * grid.spacing_mm[axis] : grid.spacing_mm[axis];
    return { name: exact ? "xyz"[world] : "ijk"[axis], start: exact ? grid.origin_mm[world] : 0, step };
  }

  /** Round numbers between two ends, about `wanted` of them. */
  function ticks(low, high, wanted) {
    if (low === high) return [low];
    const raw = Math.abs(high - low) / Math.max(wanted, 1);
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw * 0.999);
    const found = [];
    for (let n = Math.ceil(Math.min(low, high) / step - 1e-9); n * step <= Math.max(low, high) + 1e-9 * step; n++)
      found.push(Number((n * step).toPrecision(12)));
    return found;
  }

  /** A position as read: no more digits than it needs, the typographic minus. */
  const short = (value, digits = 6) => String(Number(value.toPrecision(digits))).replace(/-/g, "\u2212");

  /** -1, 0 or 1: whether the beam comes out of the screen, runs in the plane, or goes into it. */
  function beamIntoScreen(grid, view, beam) {
    if (beam.axis !== view.axis) return 0;
    const right = column(grid, view.across).map((c) => (view.flipAcross ? -c : c));
    const down = column(grid, view.down).map((c) => (view.flipDown ? -c : c));
    const into = [0, 1, 2].map((a) => right[(a + 1) % 3] * down[(a + 2) % 3] - right[(a + 2) % 3] * down[(a + 1) % 3]);
    return Math.sign(beam.sign * column(grid, beam.axis).reduce((sum, c, a) => sum + c * into[a], 0));
  }

  S3D.geometry = { anatomy, views, positionMm, nearestVoxel, coordinate, ticks, short, beamIntoScreen };
})();
