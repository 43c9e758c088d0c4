/* Builds everything that a scene has data for: the slices, the charts, the panel of the voxel that is picked. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});

  /** Say in the page, rather than in the console alone, that it cannot be shown. */
  function refuse(root, error) {
    const said = document.createElement("p");
    said.className = "s3d-status";
    said.setAttribute("role", "alert");
    said.textContent = `The viewer cannot start: ${error.message}`;
    root.append(said);
  }

  /**
   * Build the viewer in `root`, once.
   * @param {HTMLElement} root
   * @param {EmbeddedSource | ServedSource} source
   * @returns {Promise<Viewer>} when the first planes are on the screen
   */
  function start(root, source) {
    root.s3dStarted ??= build(root, source);
    return root.s3dStarted;
  }

  async function build(root, source) {
    root.classList.add("s3d");
    const viewer = new S3D.Viewer(root, source);
    root.s3d = viewer;
    await viewer.settled();
    performance.mark("s3d:first-paint");
    for (const note of source.scene.notes ?? []) viewer.element.append(S3D.charts.html("p", { class: "s3d-note" }, note));
    S3D.charts.mount(root, source);
    new S3D.VoxelPanel(root, source);
    return viewer;
  }

  /** Start a page that holds its own scene. */
  async function startEmbedded() {
    const root = document.querySelector("[data-s3d-root]");
    if (!root || !document.getElementById("s3d-scene")) return;
    try {
      await start(root, await S3D.EmbeddedSource.open(document));
    } catch (error) {
      refuse(root, error);
      throw error;
    }
  }

  S3D.start = start;
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", startEmbedded);
  else startEmbedded();
})();
