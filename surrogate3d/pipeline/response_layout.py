"""Names of the files of a prediction of response, known to who writes and who reads it."""

from __future__ import annotations

SCHEMA = "surrogate3d.response-prediction/1"
ABOUT, TABLE = "response.json", "response.csv"
RESISTANCE, REGION, ON_DOSE = "resistance.nii.gz", "region.nii.gz", "resistance_on_dose.nii.gz"
BOOST = "boost"
