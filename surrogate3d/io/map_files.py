"""The files of a folder of maps while they grow: images of one map each, and one zarr group of all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import QuantityError, UnsupportedError
from surrogate3d.grid import Grid, Quantity
from surrogate3d.io.fast_gzip import Piece, pack
from surrogate3d.io.itk_images import nrrd_head
from surrogate3d.io.map_file import THREADS, ImageFile, ImageHead, piece_planes, plane_bytes
from surrogate3d.io.map_journal import Put, Slab
from surrogate3d.io.map_range import MapRange
from surrogate3d.io.map_scaled import KEPT, KEPT_SUFFIX, Scale, write_scaled
from surrogate3d.io.metaimage import meta_head
from surrogate3d.io.nifti import nifti_head
from surrogate3d.io.zarr_group import GroupWriter, new_array, quantity_words

if TYPE_CHECKING:
    from surrogate3d.io.dicom_reference import DicomReference

SUFFIX = {"nifti": ".nii.gz", "nii": ".nii", "mha": ".mha", "nrrd": ".nrrd"}
"""Formats of one file a map."""

RTDOSE = "rtdose"
DOSES = ("dose_to_water", "dose_to_medium", "D_RBE", "BED", "EQD2")
"""Quantities that become RT Dose."""

FORMATS = (*SUFFIX, "zarr", RTDOSE)
ZARR_NAME = "maps.zarr"
_SCALED = ("nifti", "nii")
"""Formats that have int16 with a scale that all readers apply; the others are always float32."""


def require_formats(formats: Sequence[str], dtype: str) -> None:
    """Refuse a format that is not of `FORMATS`, and a type of voxels that none of the formats has.

    Raises:
        UnsupportedError: with those that there are.
    """
    unknown = set(formats) - set(FORMATS)
    if unknown:
        raise UnsupportedError(f"unknown image formats {sorted(unknown)}; expected any of {', '.join(FORMATS)}")
    if dtype not in ("float32", "int16"):
        raise UnsupportedError(f"maps are written as float32 or int16, found {dtype}")
    if dtype == "int16" and not set(formats) & set(_SCALED):
        raise UnsupportedError(f"int16 is for {' and '.join(_SCALED)}, found {', '.join(formats)}; write float32")


def require_doses(formats: Sequence[str], quantities: Mapping[str, Quantity]) -> None:
    """Refuse RT Dose of maps that have no dose among them, and of others that no further format holds.

    Args:
        formats: that are asked for.
        quantities: what the maps mean, by name.

    Raises:
        UnsupportedError: with the maps that are no dose, and what to ask for.
    """
    others = [name for name, meaning in quantities.items() if meaning.name not in DOSES]
    if RTDOSE not in formats or not others:
        return
    if len(others) == len(quantities):
        raise UnsupportedError(
            f"rtdose is for {', '.join(DOSES)}, found only {', '.join(others)}; write another format, or maps of dose "
            "(D_RBE, BED and EQD2 need a prescription)"
        )
    if set(formats) == {RTDOSE}:
        doses = ", ".join(name for name in quantities if name not in others)
        raise UnsupportedError(
            f"rtdose is for {', '.join(DOSES)}, and no other format is asked for that holds {', '.join(others)}; ask "
            f"for {doses} alone, or for a format more, such as nifti,rtdose"
        )


def image_head(kind: str, grid: Grid, quantity: Quantity) -> ImageHead:
    """What stands before the float32 voxels of a map.

    Args:
        kind: a key of `SUFFIX`.
        grid: of the map.
        quantity: of its values.
    """
    if kind in ("nifti", "nii"):
        return nifti_head(grid, quantity, compressed=kind == "nifti")
    return (meta_head if kind == "mha" else nrrd_head)(grid, quantity)


@dataclass(frozen=True)
class PackedMap:
    """A slab of one map, ready for its files; its chunks are on the disk."""

    pieces: Mapping[str, Piece]
    chunks: Mapping[str, tuple[str, int]]
    range: MapRange


class MapFiles:
    """All files of a folder; slabs are packed by any thread and appended by one.

    Attributes:
        depth: planes of a slab, but for the last.
        names: of the files, as `maps.json` lists them.
    """

    def __init__(
        self, folder: Path, grid: Grid, quantities: Mapping[str, Quantity], formats: Sequence[str], dtype: str
    ) -> None:
        self._folder, self._grid, self._quantities = folder, grid, dict(quantities)
        self.depth = piece_planes(grid.shape)
        self._scaled = [kind for kind in _SCALED if kind in formats and dtype == "int16"]
        self._doses = [name for name, meaning in quantities.items() if RTDOSE in formats and meaning.name in DOSES]
        kinds = [kind for kind in dict.fromkeys(formats) if kind in SUFFIX]
        self.names = [name + SUFFIX[kind] for kind in kinds for name in quantities]
        self.names += [name + suffix for name in self._doses for suffix in (".dcm", ".json")]
        self._group = GroupWriter(folder / ZARR_NAME) if "zarr" in formats else None
        if self._group:
            self.names.append(ZARR_NAME)
        self._images: dict[str, dict[str, ImageFile]] = {name: {} for name in quantities}
        for name, meaning in quantities.items():
            for kind in (kind for kind in kinds if kind not in self._scaled):
                file = name + SUFFIX[kind]
                self._images[name][file] = ImageFile(folder / file, image_head(kind, grid, meaning))
            if self._scaled or name in self._doses:
                self._images[name][name + KEPT_SUFFIX] = ImageFile(folder / (name + KEPT_SUFFIX), KEPT)
        self._arrays = (
            {name: self._array(self._group, name, meaning) for name, meaning in quantities.items()}
            if self._group
            else {}
        )

    def intact(self, slabs: Sequence[Slab]) -> int:
        """How many slabs of a journal are on the disk as they were written."""
        number = next((n for n, slab in enumerate(slabs) if not self._chunks_intact(slab)), len(slabs))
        for file, image in self._all_images():
            number = image.intact([slab.files[file] for slab in slabs[:number]])
        return number

    def go_on(self, slabs: Sequence[Slab]) -> None:
        """Keep these slabs of the image files, and nothing behind them."""
        for file, image in self._all_images():
            image.go_on([slab.files[file] for slab in slabs])

    def packed(self, name: str, k0: int, planes: npt.NDArray[np.float32]) -> PackedMap:
        """Pack (n, j, i) planes of a map, in any thread, and save its chunks."""
        files = {file: image.packing for file, image in self._images[name].items()}
        pieces = pack(plane_bytes(planes), files.values())
        chunks = {}
        if self._group:
            array = self._arrays[name]
            self._group.put(array, (), planes.T, k0)
            chunks = {file: self._group.hashes[file] for file in _chunk_names(array, k0)}
        return PackedMap({file: pieces[packing] for file, packing in files.items()}, chunks, MapRange.of(planes))

    def append(self, end: int, maps: Mapping[str, PackedMap], puts: Sequence[Put]) -> Slab:
        """Write the pieces of a slab that ends before plane `end`, and these puts with it."""
        for name, packed in maps.items():
            for file, piece in packed.pieces.items():
                self._images[name][file].append(piece)
        files = {file: piece.mark for packed in maps.values() for file, piece in packed.pieces.items()}
        chunks = {file: entry for packed in maps.values() for file, entry in packed.chunks.items()}
        return Slab(end, puts, files, chunks, {name: packed.range for name, packed in maps.items()})

    def finish(self, about: Mapping[str, Any]) -> None:
        """Write what comes behind the last slab, and the attributes of the zarr group."""
        for _, image in self._all_images():
            image.finish()
        if self._group:
            self._group.finish(about)

    def close(self) -> None:
        """Close all files, as far as they are written."""
        for _, image in self._all_images():
            image.close()

    def scale(self, ranges: Mapping[str, MapRange], nan_as: float | None) -> dict[str, dict[str, Any]]:
        """Write the files of int16, where there are any, from the values that were kept.

        Args:
            ranges: of the whole maps.
            nan_as: as of `Scale.of`.

        Returns:
            What `maps.json` says of each map.

        Raises:
            ValueRangeError: as `Scale.of`, before anything is written.
        """
        if not self._scaled:
            return {}
        scales = {name: Scale.of(name, found, nan_as) for name, found in ranges.items()}
        files = {kind: kind == "nifti" for kind in self._scaled}

        def written(name: str) -> dict[str, Any]:
            own = {name + SUFFIX[kind]: compressed for kind, compressed in files.items()}
            about = write_scaled(self._folder, name, own, self._grid, self._quantities[name], scales[name])
            return about | {"nan_stored_as": nan_as} if ranges[name].n_nan else about

        with ThreadPoolExecutor(THREADS) as pool:
            return dict(zip(scales, pool.map(written, scales), strict=True))

    def write_doses(
        self,
        ranges: Mapping[str, MapRange],
        comment: Sequence[str],
        reference: DicomReference | None,
        parameters: Mapping[str, Any],
        seed: str,
    ) -> dict[str, dict[str, Any]]:
        """Write the files of RT Dose, where there are any, from the values that were kept.

        Args:
            ranges: of the whole maps.
            comment: words for Dose Comment, the most important first.
            reference: patient, study, frame of reference and plan; None is an anonymous patient.
            parameters: plain data for the JSON files.
            seed: UIDs follow from it.

        Returns:
            What `maps.json` says of each map.

        Raises:
            ValueRangeError: as of `map_rtdose.write_dose`.
        """
        if not self._doses:
            return {}
        from surrogate3d.io.dicom_write import RtDoseOptions  # not before it is needed: it loads pydicom
        from surrogate3d.io.map_rtdose import write_dose

        options = RtDoseOptions(reference=reference, nan_as=0.0, comment=comment, parameters=parameters, seed=seed)
        return {
            name: write_dose(self._folder, name, self._grid, self._quantities[name], ranges[name], options)
            for name in self._doses
        }

    def let_go(self) -> None:
        """Remove the values that were kept."""
        for file, image in self._all_images():
            if file.endswith(KEPT_SUFFIX):
                image.path.unlink()

    def _all_images(self) -> list[tuple[str, ImageFile]]:
        return [entry for images in self._images.values() for entry in images.items()]

    def _array(self, group: GroupWriter, name: str, meaning: Quantity) -> Any:
        if not name.isidentifier():
            raise QuantityError(f"a map cannot be stored under the name {name!r}; use the quantity's name")
        words = quantity_words(meaning)
        return new_array(group.group, name, self._grid.shape, np.float32, ("i", "j", "k"), self.depth, words)

    def _chunks_intact(self, slab: Slab) -> bool:
        for name, (digest, size) in slab.chunks.items():
            file = self._folder / ZARR_NAME / name
            if not file.is_file() or file.stat().st_size != size:
                return False
            if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
                return False
        return True


def _chunk_names(array: Any, k0: int) -> list[str]:
    """Files of the chunks that begin at plane k0."""
    (nx, ny, _), (i, j, depth) = array.shape, array.chunks
    corners = [(a, b, k0 // depth) for a in range(-(-nx // i)) for b in range(-(-ny // j))]
    return [f"{array.path}/{array.metadata.encode_chunk_key(corner)}" for corner in corners]
