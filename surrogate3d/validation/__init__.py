"""How good the maps are: metrics, regions, cheap methods on the same input, and the table of all. No torch."""

from surrogate3d.grid.regions import REGIONS, regions
from surrogate3d.validation.baselines import BASELINE_NOTES, UNIFORM_METHODS, Baseline, baseline_effects, derived_maps
from surrogate3d.validation.metrics import METRICS, ErrorSummary, error_summary
from surrogate3d.validation.noise_floor import noise_floor
from surrogate3d.validation.table import KINDS, ComparisonRow, ComparisonTable, compare

__all__ = [
    "BASELINE_NOTES",
    "KINDS",
    "METRICS",
    "REGIONS",
    "UNIFORM_METHODS",
    "Baseline",
    "ComparisonRow",
    "ComparisonTable",
    "ErrorSummary",
    "baseline_effects",
    "compare",
    "derived_maps",
    "error_summary",
    "noise_floor",
    "regions",
]
