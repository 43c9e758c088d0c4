/* From values to colours: palettes, windows, and the inks of a light and a dark page. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});
  const INKS = {
    light: { ink: "#1e1d1b", muted: "#5f5d58", sheet: "#ffffff", none: "#cfcdc6", hatch: "#c3c1b9" },
    dark: { ink: "#eeece6", muted: "#aaa89f", sheet: "#1e1d1b", none: "#4a4944", hatch: "#55544e" },
  };

  /** Whether the page is drawn dark now; a printed page never is. */
  function isDark() {
    return !S3D.printing && matchMedia("screen and (prefers-color-scheme: dark)").matches;
  }

  const inks = () => (isDark() ? INKS.dark : INKS.light);

  /** Whether a "#rrggbb" needs light around it to be seen on dark colours. */
  const isDeep = (colour) => S3D.charts.contrast(colour, "#000000") < 5;

  /** 256 colours of a palette as one uint32 each, in the byte order of ImageData. */
  function table(scene, name) {
    const colours = scene.palettes?.[name];
    if (colours?.length !== 256) throw new Error(`the scene has no palette ${name} of 256 colours`);
    const bytes = new Uint8ClampedArray(1024).fill(255);
    colours.forEach((colour, i) => bytes.set(colour, 4 * i));
    return new Uint32Array(bytes.buffer);
  }

  /** Place of a value in a palette: 256 equal steps from `low` to `high`, the ends for what lies beyond. */
  function place(value, low, high) {
    const at = Math.floor(((value - low) / (high - low)) * 256);
    return at < 0 ? 0 : at > 255 ? 255 : at;
  }

  /**
   * Paint a plane as it lies on the screen, one pixel a voxel; no value stays transparent.
   * @param {{values: Float32Array, cols: number}} plane
   * @param {View} view
   * @param {number[]} shape of the grid
   * @param {{colours: Uint32Array, low: number, high: number, above: number}} how `above`: lower values stay transparent
   */
  function paint(plane, view, shape, how) {
    const [width, height] = [shape[view.across], shape[view.down]];
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const walk = walkOf(view, shape, plane.cols);
    for (let row = 0; row < height; row++)
      for (let col = 0; col < width; col++) {
        const value = plane.values[walk.start + row * walk.down + col * walk.across];
        if (value >= how.above) pixels[row * width + col] = how.colours[place(value, how.low, how.high)];
      }
    return image;
  }

  /** How to step through a plane's values along the screen. */
  function walkOf(view, shape, cols) {
    const [across, down] = view.across > view.down ? [1, cols] : [cols, 1];
    const start = (view.flipAcross ? (shape[view.across] - 1) * across : 0)
      + (view.flipDown ? (shape[view.down] - 1) * down : 0);
    return { start, across: view.flipAcross ? -across : across, down: view.flipDown ? -down : down };
  }

  const HATCH = 6; // px from line to line
  const tiles = new Map();

  /** A square of the hatch, drawn once for each pair of inks. */
  function hatchTile({ none, hatch }) {
    if (tiles.has(none)) return tiles.get(none);
    const tile = new OffscreenCanvas(HATCH, HATCH);
    const context = tile.getContext("2d");
    context.fillStyle = none;
    context.fillRect(0, 0, HATCH, HATCH);
    context.strokeStyle = hatch;
    context.lineWidth = 1.5;
    for (const shift of [-HATCH, 0, HATCH]) {
      context.moveTo(shift - 1, HATCH + 1);
      context.lineTo(shift + HATCH + 1, -1);
    }
    context.stroke();
    tiles.set(none, tile);
    return tile;
  }

  /** Fill a rectangle with the hatched grey of "no value". */
  function fillNoValue(context, x, y, width, height) {
    context.fillStyle = context.createPattern(hatchTile(inks()), "repeat");
    context.fillRect(x, y, width, height);
  }

  S3D.colours = { inks, isDark, isDeep, table, place, paint, fillNoValue };
})();
