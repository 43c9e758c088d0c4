"""Opening DICOM files without trusting them: every damaged element becomes a refusal that names file and element.

Pixel data are decoded only when they are as long as the header says, and only in transfer syntaxes that pydicom decodes
by itself, so that the same file reads the same way on every machine.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import uid
from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array

from surrogate3d.errors import FormatError, GeometryError, StoreError, UnsupportedError
from surrogate3d.io.dicom_whole import PREAMBLE_BYTES, meta_end, require_rle_length, require_whole

RTDOSE: Final = str(uid.RTDoseStorage)
RTSTRUCT: Final = str(uid.RTStructureSetStorage)
RTPLANS: Final = (str(uid.RTPlanStorage), str(uid.RTIonPlanStorage))
CT: Final = str(uid.CTImageStorage)

MAX_VOXELS = 2**30
"""More than 1,000 x 1,000 x 1,000 voxels are no dose grid and no planning CT."""

MAX_INFLATED_BYTES = 2**33
"""Deflated files may not grow beyond this."""

UNEVEN, UNEVEN_MM = 0.01, 0.1
"""Planes may lie this far from even spacing, in spacings or in mm: what rounding to tenths of a mm explains."""

MISPLACED = 0.1
"""Whatever the spacing, further off than this part of it is no rounding."""

_NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian)
_READ = (*_NATIVE, uid.ExplicitVRBigEndian, uid.RLELossless)


@dataclass(frozen=True)
class DicomFile:
    """A data set, or an item of one of its sequences, with the file that it came from.

    Attributes:
        path: the file, for messages.
        dataset: pydicom's data set.
    """

    path: Path
    dataset: Dataset

    def has(self, keyword: str) -> bool:
        """Whether the element is there and not empty."""
        return self._value(keyword) not in (None, "", [])

    def text(self, keyword: str) -> str:
        """The element as text on one line; empty when it is absent."""
        value = self._value(keyword)
        return "" if value is None else " ".join(str(value).split())

    def numbers(self, keyword: str, count: int | None = None) -> npt.NDArray[np.float64]:
        """The element as finite numbers.

        Raises:
            FormatError: it is absent, no number, not finite, or not of `count` numbers.
        """
        value = self._value(keyword)
        try:
            found = np.atleast_1d(np.asarray([] if value is None else value, dtype=float))
        except (TypeError, ValueError) as error:
            raise FormatError(f"{self.path}: {keyword} should be numbers, found {str(value)[:60]!r}") from error
        if not found.size or not np.isfinite(found).all() or count not in (None, found.size):
            wanted = "numbers" if count is None else f"{count} finite number(s)"
            raise FormatError(f"{self.path}: {keyword} should be {wanted}, found {str(value)[:60]!r}; export it again")
        return found

    def whole(self, keyword: str, default: int | None = None) -> int:
        """The element as a whole number, or `default` when it is absent.

        Raises:
            FormatError: it is absent without a default, or no whole number.
        """
        if default is not None and not self.has(keyword):
            return default
        found = float(self.numbers(keyword, 1)[0])
        if found != int(found):
            raise FormatError(f"{self.path}: {keyword} should be a whole number, found {found}; export it again")
        return int(found)

    def items(self, keyword: str) -> list[DicomFile]:
        """The items of a sequence; none when it is absent."""
        value = self._value(keyword)
        if value is None or value == "":
            return []
        if not isinstance(value, pydicom.Sequence):
            raise FormatError(f"{self.path}: {keyword} should be a sequence of items; export it again")
        return [DicomFile(self.path, item) for item in value]

    def _value(self, keyword: str) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # breaches of form that do not change what is read
                return self.dataset.get(keyword)
        except Exception as error:  # pydicom decodes only now, and foreign bytes can fail in any way
            raise FormatError(f"{self.path}: {keyword} cannot be read: {_one_line(error)}; export it again") from error


def open_dicom(path: str | Path, sop_classes: Sequence[str] = ()) -> DicomFile:
    """Open a DICOM file.

    Args:
        path: the file.
        sop_classes: SOP class UIDs of which the file must have one; empty for any.

    Raises:
        StoreError: there is no such file.
        FormatError: it is not DICOM, or it is damaged.
        UnsupportedError: it holds another kind of object.
    """
    path = Path(path)
    if not path.is_file():
        raise StoreError(f"no DICOM file at {path}; check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _require_whole_file(path)
            file = DicomFile(path, pydicom.dcmread(path))
    except pydicom.errors.InvalidDicomError as error:
        raise FormatError(f"{path} is not a DICOM file (no DICM prefix); give one that a DICOM system wrote") from error
    except FormatError:
        raise
    except Exception as error:  # damaged files fail in any way
        raise FormatError(f"{path} cannot be read as DICOM: {_one_line(error)}; export it again") from error
    found = file.text("SOPClassUID")
    if sop_classes and found not in sop_classes:
        wanted = " or ".join(_name(each) for each in sop_classes)
        raise UnsupportedError(f"{path} is {_name(found) or 'of no SOP class'}, expected {wanted}")
    return file


def orientation_of(file: DicomFile) -> npt.NDArray[np.float64]:
    """(3, 3) direction cosines in columns: along a row, along a column, and their cross product.

    Raises:
        FormatError: ImageOrientationPatient is not six numbers.
        GeometryError: its two vectors are not of length one and perpendicular.
    """
    along_row, along_column = file.numbers("ImageOrientationPatient", 6).reshape(2, 3)
    found = [*along_row.tolist(), *along_column.tolist()]
    products = np.array([along_row @ along_row, along_column @ along_column, along_row @ along_column])
    if np.abs(products - (1, 1, 0)).max() > 1e-3:
        raise GeometryError(f"{file.path}: ImageOrientationPatient {found} is not two perpendicular unit vectors")
    along_row = along_row / np.linalg.norm(along_row)
    along_column = along_column - (along_column @ along_row) * along_row
    along_column /= np.linalg.norm(along_column)
    return np.stack([along_row, along_column, np.cross(along_row, along_column)], axis=1)


def even_spacing(offsets: npt.NDArray[np.float64], path: Path, what: str) -> float:
    """Signed distance between neighbouring planes.

    Raises:
        GeometryError: the planes are not evenly spaced; the message names the first place.
    """
    step = float(offsets[-1] - offsets[0]) / (offsets.size - 1)
    off = np.abs(offsets - offsets[0] - step * np.arange(offsets.size))
    if not step or off.max() > max(UNEVEN * abs(step), min(UNEVEN_MM, MISPLACED * abs(step))):
        gaps = np.abs(np.diff(offsets))
        at = int(np.argmax(np.abs(gaps - np.median(gaps))))
        raise GeometryError(
            f"{path}: {what} are not evenly spaced: {gaps[at]:g} mm between {at} and {at + 1}, usually "
            f"{np.median(gaps):g} mm; a slice is missing or doubled, or resample it"
        )
    return step


def pixels_of(file: DicomFile) -> npt.NDArray[np.integer[Any]]:
    """(frame, row, column) stored values, of the type that the header says.

    Raises:
        FormatError: no pixel data, or not as much as the header says.
        UnsupportedError: colour, odd bit depths, a compression that is not read, or absurdly large.
    """
    rows, columns, bits = (file.whole(keyword) for keyword in ("Rows", "Columns", "BitsAllocated"))
    shape = (file.whole("NumberOfFrames", 1), rows, columns)
    if min(shape) < 1:
        raise FormatError(f"{file.path}: frames, rows and columns must be positive, found {shape}")
    if shape[0] * shape[1] * shape[2] > MAX_VOXELS:
        raise UnsupportedError(f"{file.path}: {shape} frames, rows and columns are more than {MAX_VOXELS} voxels")
    grey = file.whole("SamplesPerPixel", 1) == 1 and file.text("PhotometricInterpretation") in ("MONOCHROME2", "")
    if not grey or bits not in (8, 16, 32) or not 1 <= file.whole("BitsStored", bits) <= bits:
        raise UnsupportedError(
            f"{file.path}: expected one sample of 8, 16 or 32 bits a pixel, MONOCHROME2; found "
            f"{file.whole('SamplesPerPixel', 1)} of {bits} ({file.whole('BitsStored', bits)} stored), "
            f"{file.text('PhotometricInterpretation')}"
        )
    stored = file.whole("BitsStored", bits)
    if file.whole("HighBit", stored - 1) != stored - 1:
        raise FormatError(
            f"{file.path}: {stored} bits stored and a HighBit of {file.whole('HighBit')} contradict each other (PS3.3, "
            "C.7.6.3); export it again"
        )
    _require_length(file, shape, bits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = np.asarray(pixel_array(file.dataset))
    except Exception as error:  # decoders of foreign bytes fail in any way
        raise FormatError(f"{file.path}: the pixel data cannot be decoded: {_one_line(error)}") from error
    return found.reshape(shape)


def _require_length(file: DicomFile, shape: tuple[int, int, int], bits: int) -> None:
    meta = getattr(file.dataset, "file_meta", Dataset())
    syntax = str(meta.get("TransferSyntaxUID", ""))
    if syntax not in _READ:
        raise UnsupportedError(
            f"{file.path}: pixel data in transfer syntax {_name(syntax) or 'unknown'!r} are not read; "
            "convert the file to Explicit VR Little Endian"
        )
    data = file.dataset.get("PixelData")
    if not isinstance(data, bytes) or not data:
        raise FormatError(f"{file.path}: there is no pixel data")
    wanted = shape[0] * shape[1] * shape[2] * bits // 8
    if syntax == uid.RLELossless:
        # A run of two bytes unpacks to at most 128.
        if wanted > 64 * len(data):
            raise FormatError(f"{file.path}: {len(data)} bytes of RLE cannot hold the {wanted} bytes of the header")
        require_rle_length(data, shape[0], wanted // shape[0], bits // 8, file.path)
    elif len(data) not in (wanted, wanted + wanted % 2):
        raise FormatError(f"{file.path}: expected {wanted} bytes of pixel data, found {len(data)}; export it again")


def _require_whole_file(path: Path) -> None:
    """Refuse what pydicom would read in part, or inflate beyond all measure."""
    content = path.read_bytes()
    if content[PREAMBLE_BYTES - 4 : PREAMBLE_BYTES] != b"DICM":
        return  # pydicom says so
    start = meta_end(content, path)
    meta = pydicom.filereader.read_file_meta_info(path)
    syntax = str(meta.get("TransferSyntaxUID", ""))
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        _require_small_inflated(path, meta)
        content, start = zlib.decompress(content[start:], -zlib.MAX_WBITS), 0
    require_whole(content, start, syntax, path)


def _require_small_inflated(path: Path, meta: Dataset) -> None:
    """Refuse a deflated file that grows beyond all measure, before it is inflated at once."""
    with path.open("rb") as stream:
        stream.seek(144 + int(meta.FileMetaInformationGroupLength))
        inflate, grown = zlib.decompressobj(-zlib.MAX_WBITS), 0
        rest = stream.read(2**16)
        while rest and not inflate.eof:
            grown += len(inflate.decompress(rest, 2**26))
            if grown > MAX_INFLATED_BYTES:
                raise FormatError(f"{path} inflates to more than {MAX_INFLATED_BYTES} bytes; it is damaged")
            rest = inflate.unconsumed_tail or stream.read(2**16)


def _name(text: str) -> str:
    """Name of a UID, or its text where it has none."""
    return uid.UID(text, validation_mode=IGNORE).name


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
