/* What stands on and beside the image of a plane: cross-hair, simulated voxels, beam, sides of the patient, scales in mm. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
  const HALO = "rgba(16, 16, 16, 0.8)";
  const LIGHT_HALO = "rgba(255, 255, 255, 0.85)";
  const NAME_BELOW = 26; // px from the image to the name of its horizontal scale

  /** A line that is seen on every colour: a dark one below it, or a light one where it is dark itself. */
  function stroke(context, path, colour, width, dash = []) {
    context.lineJoin = "round";
    context.setLineDash(dash);
    context.strokeStyle = S3D.colours.isDeep(colour) ? LIGHT_HALO : HALO;
    context.lineWidth = width + 1.6;
    context.stroke(path);
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke(path);
    context.setLineDash([]);
  }

  /** White letters that are seen on every colour. */
  function text(context, words, x, y, align) {
    Object.assign(context, { font: `600 ${FONT}`, textAlign: align, textBaseline: "middle", lineWidth: 3, lineJoin: "round" });
    context.strokeStyle = HALO;
    context.strokeText(words, x, y);
    context.fillStyle = "#ffffff";
    context.fillText(words, x, y);
  }

  /** A path of moves and lines: [[[x, y], [x, y], ...], ...]. */
  function pathOf(...lines) {
    const path = new Path2D();
    for (const line of lines) line.forEach(([x, y], n) => (n === 0 ? path.moveTo(x, y) : path.lineTo(x, y)));
    return path;
  }

  /** Directly simulated voxels of this slice: discs where they were held out, rings where they were trained on. */
  function points(plane) {
    const { context, view } = plane;
    const radius = Math.min(4.5, Math.max(2.5, Math.min(...plane.voxelSize()) * 0.4));
    for (const { voxel, held_out: isHeldOut } of plane.viewer.scene.points ?? []) {
      if (voxel[view.axis] !== plane.shown.voxel[view.axis]) continue;
      const path = new Path2D();
      path.arc(...plane.point(voxel), radius, 0, 2 * Math.PI);
      if (isHeldOut) {
        context.fillStyle = "#ffffff";
        context.fill(path);
      }
      stroke(context, path, isHeldOut ? "#101010" : "#ffffff", isHeldOut ? 1 : 1.4);
    }
  }

  /** The voxel in a frame, with lines to the edges. */
  function cross(plane) {
    const { box, context } = plane;
    const [x, y] = plane.point(plane.shown.voxel);
    const [a, b] = plane.voxelSize().map((size) => Math.max(size / 2, 3));
    const path = pathOf(
      [[box.x, y], [x - a - 3, y]], [[x + a + 3, y], [box.x + box.width, y]],
      [[x, box.y], [x, y - b - 3]], [[x, y + b + 3], [x, box.y + box.height]],
    );
    path.rect(x - a, y - b, 2 * a, 2 * b);
    context.globalAlpha = 0.85;
    stroke(context, path, "#ffffff", 1);
    context.globalAlpha = 1;
  }

  function beam(plane) {
    const { beam: line, grid } = plane.viewer.scene;
    if (!line) return;
    const into = S3D.geometry.beamIntoScreen(grid, plane.view, line);
    if (into) beamMark(plane, into);
    else beamArrow(plane, line);
  }

  /** The beam towards the reader (dot) or away (cross). */
  function beamMark({ context, box }, into) {
    const [x, y, r] = [box.x + 14, box.y + box.height - 14, 6];
    const d = into > 0 ? r * Math.SQRT1_2 : 1;
    const path = pathOf([[x - d, y - d], [x + d, y + d]], [[x + d, y - d], [x - d, y + d]]);
    path.moveTo(x + r, y);
    path.arc(x, y, r, 0, 2 * Math.PI);
    stroke(context, path, "#ffffff", 1.4);
    text(context, "beam", x + 11, y, "left");
  }

  /** An arrow from the edge where the beam comes in. */
  function beamArrow({ box, context, view }, line) {
    const isAcross = line.axis === view.across;
    const sign = line.sign * ((isAcross ? view.flipAcross : view.flipDown) ? -1 : 1);
    const { x, y, width, height } = box;
    const at = (along, side) => isAcross
      ? [(sign > 0 ? x : x + width) + sign * along, y + height - 14 + side]
      : [x + 14 + side, (sign > 0 ? y : y + height) + sign * along];
    stroke(context, pathOf([at(6, 0), at(36, 0)], [at(30, -4), at(36, 0), at(30, 4)]), "#ffffff", 1.4);
    text(context, "beam", ...(isAcross ? at(42, 0) : at(20, 12)), isAcross && sign < 0 ? "right" : "left");
  }

  /** Letters of the patient's sides at the ends of the scales. */
  function ends({ box, context, grid, view }) {
    const axes = S3D.geometry.anatomy(grid);
    const { x, y, width, height } = box;
    const inOrder = (letters, isFlipped) => (isFlipped ? [...letters].reverse() : letters);
    const [left, right] = inOrder(axes[view.across].ends, view.flipAcross);
    const [top, bottom] = inOrder(axes[view.down].ends, view.flipDown);
    Object.assign(context, { font: `600 ${FONT}`, fillStyle: S3D.colours.inks().ink, textBaseline: "middle" });
    const places = [
      [left, x, y + height + NAME_BELOW, "left"], [right, x + width, y + height + NAME_BELOW, "right"],
      [top, 7, y + 6, "center"], [bottom, 7, y + height - 6, "center"],
    ];
    for (const [letter, atX, atY, align] of places) {
      context.textAlign = align;
      context.fillText(letter, atX, atY);
    }
  }

  /** Ticks in mm outside of the image. */
  function scale(plane, side) {
    const { box, context, grid } = plane;
    const axis = plane.view[side];
    const isAcross = side === "across";
    const { name, start, step } = S3D.geometry.coordinate(grid, axis);
    const { muted } = S3D.colours.inks();
    Object.assign(context, { font: FONT, fillStyle: muted, strokeStyle: muted, lineWidth: 1 });
    const wanted = Math.max(2.5, isAcross ? box.width / 55 : box.height / 35);
    for (const tick of S3D.geometry.ticks(start, start + (grid.shape[axis] - 1) * step, wanted)) {
      const at = Math.round(plane.along(side, (tick - start) / step)) + 0.5;
      drawTick(plane, isAcross, at, S3D.geometry.short(tick));
    }
    scaleName(plane, isAcross, `${name} / mm`);
  }

  function drawTick({ box, context }, isAcross, at, label) {
    const [x, y] = isAcross ? [at, box.y + box.height] : [box.x, at];
    context.stroke(pathOf([[x, y], isAcross ? [x, y + 4] : [x - 4, y]]));
    Object.assign(context, { textAlign: isAcross ? "center" : "right", textBaseline: isAcross ? "top" : "middle" });
    context.fillText(label, isAcross ? x : x - 6, isAcross ? y + 6 : y);
  }

  function scaleName({ box, context }, isAcross, name) {
    context.save();
    Object.assign(context, { textAlign: "center", textBaseline: "middle" });
    context.translate(isAcross ? box.x + box.width / 2 : 7, isAcross ? box.y + box.height + NAME_BELOW : box.y + box.height / 2);
    if (!isAcross) context.rotate(-Math.PI / 2);
    context.fillText(name, 0, 0);
    context.restore();
  }

  S3D.marks = { stroke, points, cross, beam, ends, scale };
})();
