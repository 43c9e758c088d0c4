/* The served page: opens its source, builds the viewer, and a panel that asks for other cell lines and fractionations. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});

  /** An element with attributes and children; what is null is left out. */
  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const labelled = (text, input) => element("label", { class: "s3d-field" }, element("span", {}, text), input);

  class RecomputePanel {
    /**
     * @param {HTMLElement} place
     * @param {HTMLElement} root of the viewer; hears "s3d:scene" with the new parts of the manifest
     * @param {ServedSource} source whose scene says what can be recomputed
     */
    constructor(place, root, source) {
      Object.assign(this, { root, source });
      const { lines, line, fraction_dose, fractions, how, prescribed } = source.scene.recompute;
      this.line = element("select", { name: "line" }, ...lines.map((one) => this.option(one, one.name === line)));
      this.dose = element("input", { name: "fraction_dose", type: "number", min: "0.01", step: "any", required: "", value: fraction_dose });
      this.fractions = element("input", { name: "fractions", type: "number", min: "1", step: "1", required: "", value: fractions });
      this.status = element("p", { role: "status", class: "s3d-note" }, how + (prescribed ? "." : "; the dose is relative, so only RBE at the fraction dose follows."));
      this.button = element("button", { type: "submit" }, "Recompute");
      const fields = [labelled("Cell line", this.line), labelled("Fraction dose / Gy", this.dose), labelled("Fractions", this.fractions)];
      this.form = element("form", { class: "s3d-recompute", "aria-label": "Recompute" }, ...fields, this.button, this.status);
      this.form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.run();
      });
      place.replaceChildren(this.form);
    }

    option({ name, alpha_x, beta_x }, selected) {
      const text = `${name} (photons ${alpha_x.toPrecision(3)} /Gy, ${beta_x.toPrecision(3)} /Gy\u00b2)`;
      return element("option", { value: name, selected: selected ? "" : null }, text);
    }

    /** Ask for what the form says, and show it; a refusal is said, and changes nothing. */
    async run() {
      const asked = { line: this.line.value, fraction_dose: this.dose.valueAsNumber, fractions: this.fractions.valueAsNumber };
      this.button.disabled = true;
      this.form.setAttribute("aria-busy", "true");
      this.status.setAttribute("role", "status");
      try {
        const parts = await this.source.recompute(asked);
        this.root.dispatchEvent(new CustomEvent("s3d:scene", { detail: parts }));
        for (const layer of parts.layers) this.root.s3d?.setWindow?.(layer.name, ...layer.window);
        this.status.textContent = `Shown: ${parts.said}.`;
      } catch (error) {
        this.status.setAttribute("role", "alert");
        this.status.textContent = `Not recomputed: ${error.message}`;
      } finally {
        this.button.disabled = false;
        this.form.removeAttribute("aria-busy");
      }
    }
  }

  /**
   * Build the page of the server.
   * @param {Document} page
   */
  async function serve(page) {
    const status = page.querySelector("[data-s3d-status]");
    try {
      const source = await S3D.ServedSource.open(page);
      const root = page.querySelector("[data-s3d-root]");
      page.title = `${source.scene.title} \u2013 surrogate3d view`;
      page.querySelector("[data-s3d-title]").textContent = source.scene.title;
      await S3D.start(root, source);
      if (source.scene.recompute) new RecomputePanel(page.querySelector("[data-s3d-recompute]"), root, source);
      status.remove();
    } catch (error) {
      status.setAttribute("role", "alert");
      status.textContent = `Cannot show the scene: ${error.message}`;
    }
  }

  Object.assign(S3D, { RecomputePanel, serve });
})();
