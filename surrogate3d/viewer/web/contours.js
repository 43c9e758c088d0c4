/* Lines of equal value through the voxel centres of a plane (marching squares), joined so that dashes run through. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});

  // Sides of a cell: 0 top, 1 right, 2 bottom, 3 left. Key: corners at or above the level, bit 0 top left, then clockwise.
  const SEGMENTS = [
    [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], null, [[0, 2]], [[3, 2]],
    [[2, 3]], [[2, 0]], null, [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
  ];
  const SADDLES = { 5: [[[3, 0], [1, 2]], [[3, 2], [1, 0]]], 10: [[[0, 1], [2, 3]], [[0, 3], [2, 1]]] };

  function segmentsOf(key, centreIsInside) {
    return SEGMENTS[key] ?? SADDLES[key][centreIsInside ? 1 : 0];
  }

  /** Number of a cell's side in the plane: twice the number of its first corner, one more where it runs down. */
  function sideNumber(row, col, cols, side) {
    if (side === 0) return 2 * (row * cols + col);
    if (side === 1) return 2 * (row * cols + col + 1) + 1;
    if (side === 2) return 2 * ((row + 1) * cols + col);
    return 2 * (row * cols + col) + 1;
  }

  /** Sides that the line joins, by their numbers. Cells with a corner without a value hold no line. */
  function joints({ values, rows, cols }, level) {
    const joined = new Map();
    const join = (a, b) => joined.has(a) ? joined.get(a).push(b) : joined.set(a, [b]);
    for (let row = 0; row + 1 < rows; row++)
      for (let col = 0; col + 1 < cols; col++) {
        const at = row * cols + col;
        const a = values[at];
        const b = values[at + 1];
        const c = values[at + cols + 1];
        const d = values[at + cols];
        const key = (a >= level) + 2 * (b >= level) + 4 * (c >= level) + 8 * (d >= level);
        if (key === 0 || key === 15) continue;
        const sum = a + b + c + d;
        if (Number.isNaN(sum)) continue;
        for (const [from, to] of segmentsOf(key, sum / 4 >= level)) {
          const [start, end] = [sideNumber(row, col, cols, from), sideNumber(row, col, cols, to)];
          join(start, end);
          join(end, start);
        }
      }
    return joined;
  }

  /** Where the level lies on a side, as [row, column] with fractions. */
  function crossing({ values, cols }, level, number) {
    const corner = number >> 1;
    const other = corner + (number % 2 ? cols : 1);
    const share = (level - values[corner]) / (values[other] - values[corner]);
    const [row, col] = [Math.floor(corner / cols), corner % cols];
    return number % 2 ? [row + share, col] : [row, col + share];
  }

  function follow(joined, start) {
    const line = [start];
    for (let at = start; ; ) {
      const next = joined.get(at)?.pop();
      if (next === undefined) return line;
      const back = joined.get(next);
      back.splice(back.indexOf(at), 1);
      line.push(next);
      at = next;
    }
  }

  /**
   * Lines at one level.
   * @param {{values: Float32Array, rows: number, cols: number}} plane
   * @returns {number[][][]} lines of [row, column] points; a closed line ends where it starts
   */
  function lines(plane, level) {
    const joined = joints(plane, level);
    const ends = [...joined.keys()].filter((number) => joined.get(number).length === 1);
    return [...ends, ...joined.keys()]
      .filter((number) => joined.get(number).length > 0)
      .map((number) => follow(joined, number))
      .filter((line) => line.length > 1)
      .map((line) => line.map((number) => crossing(plane, level, number)));
  }

  S3D.contours = { lines };
})();
