"""A `Field` on disk: one zarr v3 group (`*.field.zarr`) with a manifest, written whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, StoreError, Surrogate3dError
from surrogate3d.grid import (
    Beam,
    DoseField,
    Field,
    Grid,
    LetDefinition,
    Prescription,
    Quantity,
    Spectra,
    SpectrumAxes,
    Volume,
    VolumeSet,
)
from surrogate3d.io import manifest
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.spectra_parts import StoredSpectra
from surrogate3d.io.stored_array import StoredArray, StoreFiles
from surrogate3d.io.zarr_group import (
    StoredVolumes,
    created_group,
    open_group,
    put_array,
    put_volumes,
    quantity_of,
)

if TYPE_CHECKING:
    import zarr

Floats = npt.NDArray[np.floating]

SPACE = ("i", "j", "k")
SPECTRA, BEAMS, HALVES = "spectra", "beams", "halves"


def write_field(field: DoseField, path: str | Path, overwrite: bool = False) -> str:
    """Store a field, with or without spectra.

    Spectra are kept as float32, volumes in their own precision; of these, what is read back is exactly what was given.

    Args:
        field: what to store; its provenance must be plain data.
        path: the store, by custom `<name>.field.zarr`.
        overwrite: replace an older field store at `path`.

    Returns:
        The field id: SHA-256 of the manifest, and so of the whole content.

    Raises:
        StoreError: `path` exists and is not to be, or must not be, replaced; or the disk is full.
        GridMismatchError: the halves have other spectrum axes than the whole.
    """
    path = Path(path)
    require_replaceable(path, overwrite)
    with atomic_directory(path, overwrite, expected_bytes=_size(field)) as scratch:
        with created_group(scratch, _attributes(field)) as group:
            put_volumes(group, field.volumes)
            for number, dose in enumerate(field.beams_dose):
                put_array(group, f"{BEAMS}/{number}/dose", np.asarray(dose), SPACE, {"unit": "Gy"})
            if isinstance(field, Field):
                _put_all_spectra(group, field)
        return manifest.write_manifest(scratch)


def require_replaceable(path: Path, overwrite: bool) -> None:
    """Refuse to overwrite what is not a field store.

    Raises:
        StoreError: it is something else.
    """
    if overwrite and path.exists() and not manifest.has_schema(path / manifest.MANIFEST_NAME, manifest.FIELD_SCHEMA):
        raise StoreError(f"{path} exists and is not a field store, so it is not replaced; choose another name")


def read_field(
    path: str | Path, verify: bool = True, lazy: bool = False, volumes: Collection[str] | None = None
) -> Field:
    """Read a field with its spectra.

    Args:
        path: the store.
        verify: compare the SHA-256 of every file with the manifest; else only names and sizes.
        lazy: leave the spectra, also of the halves, on disk: what is sliced of them is read then, and compared and
            checked then (`spectra_parts.StoredSpectra`). Volumes are read at once.
        volumes: those of these names that there are; others are neither read nor in the field. None reads all.

    Returns:
        The field, as it was written.

    Raises:
        StoreError: there is no store, or it is incomplete or damaged; the message names the file.
        QuantityError: the store has no spectra.
        ValueRangeError: a fluence is negative or not finite.
    """
    field = read_dose_field(path, verify, lazy, volumes)
    if not isinstance(field, Field):
        raise QuantityError(
            f"{path} holds dose and LET without spectra (reduced input); this needs spectra. Only published LET models "
            "predict from it: surrogate3d predict --model wedenberg"
        )
    return field


def read_dose_field(
    path: str | Path, verify: bool = True, lazy: bool = False, volumes: Collection[str] | None = None
) -> DoseField:
    """Read a field, with or without spectra; arguments and errors as for `read_field`.

    Returns:
        A `Field` where the store has spectra, else a `DoseField`.
    """
    with _understood(path):
        files = StoreFiles(path, verify)
        about = files.about()
        kept = [name for name in about["volumes"] if volumes is None or name in volumes]
        later = tuple(f"{name}/" for name in about["volumes"] if name not in kept)
        field = _field(files, {**about, "volumes": kept}, lazy)
        files.verify_unread(lambda name: name.startswith((*later, *([f"{SPECTRA}/", f"{HALVES}/"] if lazy else []))))
        return field


def _field(files: StoreFiles, about: dict[str, Any], lazy: bool) -> DoseField:
    grid = Grid.from_json(about["grid"])
    beams = tuple(_beam(words) for words in about.get("beams", []))
    several = range(len(beams) if about.get("has_beams_dose") else 0)
    shared: dict[str, Any] = {
        "grid": grid,
        "volumes": VolumeSet(grid, {name: _volume(files, grid, name) for name in about["volumes"]}),
        "primary": about.get("primary"),
        "beams": beams,
        "beams_dose": tuple(_whole(files, f"{BEAMS}/{number}/dose", grid) for number in several),
        "let_definitions": {name: LetDefinition(**words) for name, words in about["let_definitions"].items()},
        "prescription": Prescription(**about["prescription"]) if about["prescription"] else None,
        "provenance": about["provenance"],
    }
    if about.get("axes") is None:
        return DoseField(**shared)
    axes = SpectrumAxes.from_json(about["axes"])
    halves = [f"{HALVES}/{number}" for number in range(about["n_halves"])]
    return Field(
        spectra=_get_spectra(files, SPECTRA, axes, grid, lazy),
        beam_axis=about["beam_axis"],
        beam_sign=about["beam_sign"],
        histories=about["histories"],
        halves=tuple(_get_spectra(files, name, axes, grid, lazy) for name in halves),
        halves_dose=tuple(_whole(files, f"{name}/dose", grid) for name in halves),
        **shared,
    )


def _whole(files: StoreFiles, name: str, grid: Grid) -> npt.NDArray[Any]:
    return np.asarray(StoredArray(files, name, grid.shape))


def _volume(files: StoreFiles, grid: Grid, name: str) -> Volume:
    array = StoredArray(files, name, grid.shape)
    return Volume(grid, np.asarray(array), quantity_of(array.attributes))


@contextmanager
def _understood(path: str | Path) -> Iterator[None]:
    """Refuse a description in which something is missing or has another form."""
    try:
        yield
    except Surrogate3dError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StoreError(f"{path}: its description is damaged ({error!r}); make the store again") from error


def _beam(words: dict[str, Any]) -> Beam:
    direction = words.pop("direction")
    return Beam(direction=None if direction is None else tuple(direction), **words)


def field_id(path: str | Path) -> str:
    """SHA-256 of a store's manifest, which identifies its content. Names and sizes are checked, contents are not.

    Raises:
        StoreError: there is no store, or it is incomplete.
    """
    return manifest.verify(path, hashes=False)


def describe(path: str | Path) -> dict[str, Any]:
    """What a store holds, as plain data, without reading its spectra.

    Returns:
        What `write_field` noted of the field (grid, axes, beam, histories, prescription, LET definitions, provenance,
        the fraction of fluence outside the energy bins), with `field_id`, and `volumes` as name -> symbol, unit,
        definition, minimum and maximum of the finite values (None if there are none) and number of NaN.

    Raises:
        StoreError: there is no store, or it is incomplete.
    """
    group, about = _open(path, hashes=False)
    with _understood(path):
        volumes = StoredVolumes(group, Grid.from_json(about["grid"]), about["volumes"])
    summaries = {name: _summary(volumes.planes(name), volumes.quantity(name)) for name in volumes}
    return {**about, "volumes": summaries, "field_id": field_id(path)}


def read_volumes(path: str | Path, verify: bool = True) -> StoredVolumes:
    """The volumes of a store, each read when it is asked for.

    Raises:
        StoreError: there is no store, or it is incomplete.
    """
    group, about = _open(path, hashes=False) if verify else open_group(Path(path))
    with _understood(path):
        return StoredVolumes(group, Grid.from_json(about["grid"]), about["volumes"])


def summarise(volume: Volume) -> dict[str, Any]:
    """Symbol, unit, definition, range of the finite values and number of NaN of a volume, as plain data."""
    return _summary([volume.values], volume.quantity)


def _summary(pieces: Iterable[npt.NDArray[Any]], quantity: Quantity) -> dict[str, Any]:
    low, high, n_nan = np.inf, -np.inf, 0
    for values in pieces:
        # fmin and fmax pass over NaN, several times faster than a selection of the finite values.
        ends = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
        if np.isinf(ends).any():
            finite = values[np.isfinite(values)]
            ends = (finite.min(), finite.max()) if finite.size else (np.nan, np.nan)
        low, high = float(np.fmin(low, ends[0])), float(np.fmax(high, ends[1]))
        n_nan += int(np.count_nonzero(np.isnan(values)))
    return {
        "symbol": quantity.symbol,
        "unit": quantity.unit,
        "definition": quantity.definition,
        "minimum": low if low <= high else None,
        "maximum": high if low <= high else None,
        "n_nan": n_nan,
    }


def _open(path: str | Path, hashes: bool) -> tuple[zarr.Group, dict[str, Any]]:
    manifest.verify(path, hashes=hashes)
    return open_group(Path(path))


@dataclass(frozen=True)
class SpectraWords:
    """What a store says about its spectra, beside the arrays."""

    axes: SpectrumAxes
    n_halves: int
    beam_axis: int
    beam_sign: int
    histories: int
    outside_bins: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        words = {"axes": self.axes.to_json(), "n_halves": self.n_halves, "histories": self.histories}
        beam = {"beam_axis": self.beam_axis, "beam_sign": self.beam_sign}
        return {**words, **beam, "outside_bins": {name: dict(part) for name, part in self.outside_bins.items()}}


def store_attributes(
    *,
    grid: Grid,
    volumes: Sequence[str],
    primary: str | None,
    beams: Sequence[Beam],
    has_beams_dose: bool,
    let_definitions: Mapping[str, LetDefinition],
    prescription: Prescription | None,
    provenance: Mapping[str, Any],
    spectra: SpectraWords | None,
) -> dict[str, Any]:
    """Attributes of a field store's root group."""
    return {
        "schema": manifest.FIELD_SCHEMA,
        "grid": grid.to_json(),
        "volumes": list(volumes),
        "primary": primary,
        "beams": [asdict(beam) for beam in beams],
        "has_beams_dose": has_beams_dose,
        "let_definitions": {name: asdict(definition) for name, definition in let_definitions.items()},
        "prescription": asdict(prescription) if prescription else None,
        "provenance": dict(provenance),
        **(spectra.to_json() if spectra else {"axes": None}),
    }


def _attributes(field: DoseField) -> dict[str, Any]:
    spectra = None
    if isinstance(field, Field):
        axis, sign, outside = field.beam_axis, field.beam_sign, outside_bins(field.spectra)
        spectra = SpectraWords(field.spectra.axes, len(field.halves), axis, sign, field.histories, outside)
    return store_attributes(
        grid=field.grid,
        volumes=list(field.volumes),
        primary=field.primary,
        beams=field.beams,
        has_beams_dose=bool(field.beams_dose),
        let_definitions=field.let_definitions,
        prescription=field.prescription,
        provenance=field.provenance,
        spectra=spectra,
    )


def outside_bins(spectra: Spectra) -> dict[str, dict[str, float]]:
    """Fraction of each species' fluence below and above its energy bins; 0 for a species without fluence."""
    voxels = (-3, -2, -1)
    below, above = (side.sum(axis=voxels, dtype=float) for side in (spectra.underflow, spectra.overflow))
    whole = below + above + spectra.fluence.sum(axis=(1, *voxels), dtype=float)
    return {
        name: outside_shares(float(low), float(total), float(high))
        for name, low, high, total in zip(spectra.axes.species, below, above, whole, strict=True)
    }


def outside_shares(below: float, whole: float, above: float) -> dict[str, float]:
    """Fractions below and above the bins, of summed fluences."""
    return {"underflow": below / whole if whole else 0.0, "overflow": above / whole if whole else 0.0}


def _put_all_spectra(group: zarr.Group, field: Field) -> None:
    _put_spectra(group.create_group(SPECTRA), field.spectra)
    for number, (half, dose) in enumerate(zip(field.halves, field.halves_dose, strict=True)):
        subgroup = group.create_group(f"{HALVES}/{number}")
        _put_spectra(subgroup, half)
        put_array(subgroup, "dose", np.asarray(dose), SPACE, {"unit": "Gy"})


def _put_spectra(group: zarr.Group, spectra: Spectra) -> None:
    unit = {"quantity": "fluence", "unit": "1/mm^2"}
    put_array(group, "fluence", spectra.fluence.astype(np.float32, copy=False), ("species", "bin", *SPACE), unit)
    put_array(group, "underflow", spectra.underflow.astype(np.float32, copy=False), ("species", *SPACE), unit)
    put_array(group, "overflow", spectra.overflow.astype(np.float32, copy=False), ("species", *SPACE), unit)


def _get_spectra(files: StoreFiles, name: str, axes: SpectrumAxes, grid: Grid, lazy: bool) -> Spectra:
    n_species, n_bins = len(axes.species), len(axes.edges_mev_u[0]) - 1
    whole, outside = (n_species, n_bins, *grid.shape), (n_species, *grid.shape)
    parts = {"fluence": whole, "underflow": outside, "overflow": outside}
    stored = [StoredSpectra(files, f"{name}/{part}", shape) for part, shape in parts.items()]
    return Spectra(axes, *(cast(Floats, array) if lazy else np.asarray(array) for array in stored))


def _size(field: DoseField) -> int:
    """Bytes of the arrays before compression. Halves with other axes than the whole could not be read back."""
    size = sum(volume.values.nbytes for volume in field.volumes.values()) + sum(d.nbytes for d in field.beams_dose)
    if not isinstance(field, Field):
        return size
    for half in field.halves:
        if not half.axes.matches(field.spectra.axes, rtol=0.0):
            raise GridMismatchError("the spectra of a field's halves must have the axes of the whole")
    return size + 4 * sum(s.fluence.size + s.underflow.size + s.overflow.size for s in (field.spectra, *field.halves))
