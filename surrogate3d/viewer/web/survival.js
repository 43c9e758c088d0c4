/** Survival of one voxel in numbers: curves between simulated doses, RBE, shares by the Zaider-Rossi mixing rule. */
(() => {
  "use strict";
  const S3D = (globalThis.S3D ??= {});

  /**
   * -ln S at a dose, with -ln S / D linear between the simulated doses and below the first of them.
   * @returns {number | null} null above the last simulated dose: nothing is extrapolated
   */
  function effectAt(dose, doses, effect) {
    const last = doses.length - 1;
    if (!(dose >= 0) || dose > doses[last] * (1 + 1e-9)) return null;
    if (last === 0) return (dose * effect[0]) / doses[0];
    const right = Math.max(
      1,
      doses.findIndex((d) => d >= dose * (1 - 1e-12)),
    );
    const [left, t] = [right - 1, (dose - doses[right - 1]) / (doses[right] - doses[right - 1])];
    return dose * (((1 - t) * effect[left]) / doses[left] + (t * effect[right]) / doses[right]);
  }

  /** alpha_x D + beta_x D^2. */
  const photonEffect = (dose, { alpha_x: a, beta_x: b }) => a * dose + b * dose * dose;

  /** Photon dose with a given -ln S, in the form without cancellation for small beta_x; null for a negative effect. */
  function photonDose(effect, { alpha_x: a, beta_x: b }) {
    if (effect === null || !(effect >= 0)) return null;
    return effect === 0 ? 0 : (2 * effect) / (a + Math.sqrt(a * a + 4 * b * effect));
  }

  /**
   * RBE at a dose, and its half width from that of the effect by d ln D / d ln E of the photon curve.
   * @returns {{RBE: number, half_width: number | null, effect: number, photon_dose: number} | null}
   */
  function rbeAt(dose, doses, effects, halfWidth, photon) {
    const effect = effectAt(dose, doses, effects);
    const D = photonDose(effect, photon);
    if (D === null || !(dose > 0)) return null;
    const [linear, quadratic] = [photon.alpha_x * D, photon.beta_x * D * D];
    const slope = (linear + quadratic) / (linear + 2 * quadratic);
    const half = Number.isFinite(halfWidth ?? NaN) && D > 0 ? (D / dose) * slope * halfWidth : null;
    return { RBE: D / dose, half_width: half, effect, photon_dose: D };
  }

  /** One entry per species and bin: what it is, and its parts of fluence and dose. */
  function binsOf(bins, spectrum) {
    return bins.species.flatMap((species, s) =>
      spectrum[s].map((fluence, b) => ({
        species,
        low: bins.edges_mev_u[s][b],
        high: bins.edges_mev_u[s][b + 1],
        alpha: bins.alpha[s][b],
        beta: bins.beta[s][b],
        fluence,
        dose: fluence * bins.dose_per_fluence[s][b],
      })),
    );
  }

  const sum = (list, of) => list.reduce((total, entry) => total + of(entry), 0);

  /**
   * What each bin contributes to fluence, dose and effect, as exact shares that add up to 1.
   *
   * Zaider and Rossi: of the mixture alpha = sum w alpha_b and sqrt(beta) = sum w sqrt(beta_b), w being shares of dose.
   * The effect alpha D + beta D^2 is a sum over bins of w (alpha_b D + sqrt(beta_b) sqrt(beta) D^2).
   *
   * @param {object} bins `scene.voxels.bins`
   * @param {number[][]} spectrum fluence per species and bin, in any unit
   * @param {number} dose Gy
   * @returns {{bins: object[], alpha: number, beta: number, effect: number} | null} null where there is no fluence
   * @throws {RangeError} a bin with fluence has no alpha, beta or dose per fluence
   */
  function shares(bins, spectrum, dose) {
    const filled = binsOf(bins, spectrum).filter((b) => b.fluence > 0);
    const lost = filled.find((b) => ![b.alpha, b.beta, b.dose].every((v) => Number.isFinite(v ?? NaN)));
    if (lost)
      throw new RangeError(
        `no alpha, beta or dose for ${lost.species} of ${lost.low} to ${lost.high} MeV/u, where the voxel has fluence`,
      );
    const [fluence, total] = [sum(filled, (b) => b.fluence), sum(filled, (b) => b.dose)];
    if (!(total > 0)) return null;
    const alpha = sum(filled, (b) => b.dose * b.alpha) / total;
    const root = sum(filled, (b) => b.dose * Math.sqrt(b.beta)) / total;
    const effect = alpha * dose + root * root * dose * dose;
    const part = (b) => (b.dose / total) * (b.alpha * dose + Math.sqrt(b.beta) * root * dose * dose);
    const rows = filled.map((b) => ({
      ...b,
      fluence: b.fluence / fluence,
      dose: b.dose / total,
      effect: effect > 0 ? part(b) / effect : NaN,
    }));
    return { bins: rows, alpha, beta: root * root, effect };
  }

  /** Shares of the species, in the order of the bins. */
  function bySpecies(rows) {
    const names = [...new Set(rows.map((b) => b.species))];
    const of = (name, key) =>
      sum(
        rows.filter((b) => b.species === name),
        (b) => b[key],
      );
    return names.map((species) => ({
      species,
      fluence: of(species, "fluence"),
      dose: of(species, "dose"),
      effect: of(species, "effect"),
    }));
  }

  S3D.survival = { effectAt, photonEffect, photonDose, rbeAt, shares, bySpecies };
})();
