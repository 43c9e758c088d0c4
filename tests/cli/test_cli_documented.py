"""docs/cli-json.md lists exactly the keys that the commands print: fields, TOPAS and DICOM files, reduced input."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_objects import ct_slice, rtdose, rtstruct
from documented import PAGE, documented, documented_inside

from surrogate3d.grid import Volume, quantity
from surrogate3d.io.field_store import read_field, write_field
from surrogate3d.io.images import read_image, write_image

Ask = Callable[..., dict[str, Any]]

RUN = Path(__file__).parents[1] / "fixtures" / "topas"
DATA = Path(__file__).parents[2].parent / "shared" / "data"
TREATMENT = ("--cell-line", "HSG", "--fraction-dose", "2")
ONLY_SPECTRA = {
    *("n_halves", "beam_axis", "beam_sign", "histories", "tracks_per_voxel", "outside_bins", "consistency"),
    *("consistency_corrected", "explained_by_region", "spectrum_faults", "LET_difference", "statistics_of_voxels"),
}
LET_WORDS = "weighting=dose; particles=protons; medium=water; restricted=no"


@pytest.fixture
def dose(tmp_path: Path) -> Path:
    return rtdose(tmp_path / "dose.dcm", np.arange(1, 481, dtype=np.uint16).reshape(4, 10, 12))


@pytest.fixture
def reduced(dose: Path, tmp_path: Path, ask: Ask) -> Path:
    """A field store of an RTDOSE with a LET image beside it."""
    ask("dicom", "image", dose, "--medium", "water", "-o", tmp_path / "dose.mha")
    grid = read_image(tmp_path / "dose.mha", quantity("dose_to_water")).grid
    write_image(Volume(grid, np.full(grid.shape, 3.0), quantity("LET_d")), tmp_path / "let.nrrd")
    said = ("--medium", "water", "--radiation", "H", "--let", tmp_path / "let.nrrd", "--let-definition", LET_WORDS)
    found = ask("convert", dose, "-o", tmp_path / "reduced.field.zarr", *said)
    assert set(found["conversion"]) == {"files_read", "files_not_read", "notes"}
    assert set(found["conversion"]) < documented_inside("convert", "conversion")
    return tmp_path / "reduced.field.zarr"


def keys(found: dict[str, Any]) -> set[str]:
    return set(found) - {"schema"}


def test_a_conversion_says_where_everything_came_from(tmp_path: Path, ask: Ask) -> None:
    found = ask("convert", RUN, "-o", tmp_path / "f.field.zarr")
    assert set(found["conversion"]) == documented_inside("convert", "conversion")


def test_a_store_without_spectra_has_what_the_page_says(reduced: Path, ask: Ask) -> None:
    found = ask("info", reduced)
    assert found["axes"] is None
    assert documented("info") - keys(found) == ONLY_SPECTRA
    sentence = PAGE.read_text().split("Without spectra `axes` is null, and ")[1].split("not there")[0]
    assert all(f"`{name}`" in sentence for name in ONLY_SPECTRA)


def test_a_published_model_says_more(reduced: Path, tmp_path: Path, ask: Ask) -> None:
    found = ask("predict", reduced, "--model", "wedenberg", "-o", tmp_path / "maps", *TREATMENT)
    assert keys(found) == documented("predict") | documented("predict --model wedenberg")
    assert found["bundle_id"] is found["unexplained_dose"] is None


def test_let_maps(plan: Any, tmp_path: Path, ask: Ask) -> None:
    assert keys(ask("let", plan.field, "-o", tmp_path / "let")) == documented("let")


def test_fields_from_fields(plan: Any, tmp_path: Path, ask: Ask) -> None:
    write_field(replace(read_field(plan.unscaled), provenance={}), tmp_path / "other.field.zarr")
    pair = (plan.unscaled, tmp_path / "other.field.zarr")
    found = ask("combine", *pair, "--weights", "1,2", "-o", tmp_path / "sum.field.zarr")
    assert keys(found) == documented("combine")
    assert set(found["parts"][0]) == {
        *("name", "field_id", "weight", "lost", "border", "exact", "dose_integral_in_sum_gy_mm3"),
        *("dose_integral_gy_mm3", "spectra_integral_gy_mm3", "LET_d_kev_um", "LET_t_kev_um"),
    }
    coarse = ask("resample", plan.field, "--spacing", "8,8,8", "-o", tmp_path / "coarse.field.zarr")
    assert keys(coarse) == documented("resample")
    cut = ask("crop", plan.field, "--above", "0.5", "-o", tmp_path / "cut.field.zarr")
    assert keys(cut) == documented("crop")
    combined = ask("info", tmp_path / "sum.field.zarr")
    assert keys(combined) == documented("info")
    assert {"parts", "changes"} <= set(combined["provenance"])


def test_single_files_of_topas(tmp_path: Path, ask: Ask) -> None:
    found = ask("topas", "info", *sorted(RUN.glob("*.csv")), *RUN.glob("*.binheader"), *RUN.glob("*.dcm"))
    assert keys(found) == documented("topas info")
    known = documented_inside("topas info", "files")
    assert all(set(file) <= known for file in found["files"])
    placed = ("--parameters", RUN / "fixture.txt", "-o", tmp_path / "let.mha")
    assert keys(ask("topas", "image", RUN / "fixture_ProtonLETd.csv", *placed)) == documented("topas image")
    wish = ("--component", "Grid", "--beam", "proton", "--shape", "6,5,12")
    assert keys(ask("topas", "scorers", "-o", tmp_path / "s.txt", *wish)) == documented("topas scorers")


def test_every_documented_key_of_a_topas_file_is_found_in_one(ask: Ask) -> None:
    others, counter = DATA / "topas" / "topas2numpy", DATA / "topas" / "tepc_carbon_350"
    if not (others.is_dir() and counter.is_dir()):
        pytest.skip("phase spaces and lineal-energy spectra are not beside the repository")
    files = [*others.glob("*.header"), others / "Dose.csv", *counter.glob("y*.txt")]
    found = ask("topas", "info", *files)["files"]
    assert {key for file in found for key in file} == documented_inside("topas info", "files")


def test_dicom(dose: Path, plan: Any, tmp_path: Path, ask: Ask) -> None:
    rings = [np.array([[-8, 22, z], [1, 22, z], [1, 32, z], [-8, 32, z]], dtype=float) for z in (33, 36)]
    structures = rtstruct(tmp_path / "structures.dcm", {"PTV": rings})
    slice_ = ct_slice(tmp_path / "ct.dcm", np.zeros((4, 5), dtype=np.uint16), (0, 0, 0))
    files = [dose, structures, slice_, *(DATA / "dicom").glob("rtplan.dcm")]
    found = ask("dicom", "info", *files)
    assert keys(found) == documented("dicom info")
    plan_only = {"label", "approval", "sop_instance_uid", "fraction_groups", "dose_references", "beams"}
    missing = set() if len(files) > 3 else plan_only
    assert {key for file in found["files"] for key in file} == documented_inside("dicom info", "files") - missing
    masks = ask("dicom", "masks", structures, "-o", tmp_path / "m", "--like", dose)
    assert keys(masks) == documented("dicom masks")
    image = ask("dicom", "image", dose, "-o", tmp_path / "d.mha", "--medium", "water")
    assert keys(image) == documented("dicom image")
    written = ask("dicom", "write", plan.field, "--quantity", "dose_to_water", "-o", tmp_path / "w.dcm")
    assert keys(written) == documented("dicom write")
