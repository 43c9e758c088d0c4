"""Radiomic features of lesions by MIRP, with settings of the Image Biomarker Standardisation Initiative (IBSI).

First order (`stat_`, and `ih_` after discretisation), shape (`morph_`) and texture: co-occurrence (`cm_`), run length
(`rlm_`), size zone (`szm_`), distance zone (`dzm_`), neighbourhood grey tone difference (`ngt_`) and neighbouring grey
level dependence (`ngl_`). Names are MIRP's; definitions are in the IBSI reference manual (Zwanenburg et al., Radiology
2020; 295:328). Settings: cubic voxels, linear interpolation of image and mask, a voxel is in at half; 32 bins of equal
width between the extremes in the lesion, as IBSI asks for where the signal has no unit; distance of one voxel, all
directions in 3-D merged into one matrix. The image is normalised first, as for the other methods, so that first-order
features can be compared between scanners; texture is not changed by that.

Moran's I and Geary's C are left out: they take several times as long as all others together, and MIRP estimates
them from random voxels in all but the smallest lesions.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from surrogate3d.errors import UnsupportedError, ValueRangeError
from surrogate3d.grid import Cohort, Lesion
from surrogate3d.response.feature_table import Table, table_of
from surrogate3d.response.normalisation import cropped, delivered_on_image, normalised_image

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

INTENSITY = ("statistics", "intensity_histogram", "glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")
"""Families of each channel, in MIRP's words."""
SHAPE = "morphology"
"""Of the lesion, once; a few of this family see the image, too."""
LEFT_OUT = ("morph_moran_i", "morph_geary_c")

LEVELS = 32
SPACING_MM = 1.0
MARGIN_MM = 10.0
"""Of the image around a lesion that is looked at: more than the shell of the normalisation and the interpolation."""


def radiomic_features(
    cohort: Cohort,
    channels: tuple[str, ...] = ("image",),
    *,
    spacing_mm: float = SPACING_MM,
    levels: int = LEVELS,
    progress: Callable[[int, int], None] | None = None,
) -> Table:
    """Radiomic features of the image, and dosiomic ones of what was delivered.

    Args:
        cohort: n lesions.
        channels: "image" (normalised), and names of what was delivered, in their own units.
        spacing_mm: of the cubic voxels that the lesion is resampled to.
        levels: bins of the discretisation.
        progress: is told how many lesions of how many are done.

    Returns:
        (n, f) features, named "channel feature"; shape stands with the first channel. NaN where not defined.

    Raises:
        UnsupportedError: MIRP is not installed.
        UnknownNameError: a lesion lacks a channel.
        ValueRangeError: an image that cannot be normalised, a dose that is not known in a part of a lesion, a lesion
            without a voxel of `spacing_mm`, or no channel.
    """
    if not channels:
        raise ValueRangeError("radiomic features need at least one channel, such as 'image'; found none")
    rows = []
    for lesion in cohort:
        rows.append(_of_lesion(cropped(lesion, MARGIN_MM), channels, spacing_mm, levels))
        if progress is not None:
            progress(len(rows), len(cohort))
    return table_of(rows)


def _of_lesion(lesion: Lesion, channels: tuple[str, ...], spacing_mm: float, levels: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for channel in channels:
        values = normalised_image(lesion) if channel == "image" else delivered_on_image(lesion, channel)
        families = INTENSITY if found else (SHAPE, *INTENSITY)
        features = ibsi_features(values, lesion.mask, lesion.image.grid.spacing_mm, families, spacing_mm, levels)
        if not features:
            raise ValueRangeError(
                f"{lesion.name}: nothing is left of the lesion ({lesion.volume_mm3:.3g} mm3) on voxels of "
                f"{spacing_mm:g} mm; take smaller ones"
            )
        found |= {f"{channel} {name}": value for name, value in features.items()}
    return found


def ibsi_features(
    values: Floats,
    mask: Bools,
    voxel_mm: tuple[float, float, float],
    families: tuple[str, ...] = (SHAPE, *INTENSITY),
    spacing_mm: float = SPACING_MM,
    levels: int = LEVELS,
) -> dict[str, float]:
    """Features of one region.

    Args:
        values: (i, j, k); known in the region.
        mask: (i, j, k) the region.
        voxel_mm: size of the voxels.
        families: in MIRP's words.
        spacing_mm: of the cubic voxels to resample to.
        levels: bins between the extremes in the region.

    Returns:
        Value by name; none where the region has no voxel left after resampling.

    Raises:
        UnsupportedError: MIRP is not installed.
    """
    settings = _settings(families, voxel_mm, spacing_mm, levels)
    with _quiet():
        image, region = _processed(_without_gaps(values), mask, voxel_mm, settings)
        return {} if region.roi.is_empty_mask() else _computed(image, region, settings)


def _settings(families: tuple[str, ...], voxel_mm: tuple[float, float, float], spacing_mm: float, levels: int) -> Any:
    """MIRP would smooth an image against aliasing even where voxels stay as they are or become smaller."""
    try:
        from mirp.settings.generic import SettingsClass
    except ImportError as missing:
        raise UnsupportedError(
            "radiomic features need MIRP; pip install 'surrogate3d[response]', or leave radiomics out"
        ) from missing
    return SettingsClass(
        by_slice=False,
        ibsi_compliant=True,
        new_spacing=None if np.allclose(voxel_mm, spacing_mm, rtol=1e-3) else float(spacing_mm),
        anti_aliasing=min(voxel_mm) < spacing_mm * (1 - 1e-3),
        spline_order=1,
        roi_spline_order=1,
        roi_interpolation_mask_inclusion_threshold=0.5,
        base_feature_families=list(families),
        base_discretisation_method="fixed_bin_number",
        base_discretisation_n_bins=levels,
        glcm_distance=1.0,
        glcm_spatial_method="3d_volume_merge",
        glrlm_spatial_method="3d_volume_merge",
    )


def _processed(values: Floats, mask: Bools, voxel_mm: tuple[float, float, float], settings: Any) -> tuple[Any, Any]:
    """Image and region as MIRP has them after resampling; its arrays and sizes run (z, y, x)."""
    from mirp import extract_images
    from mirp.data_import.import_image import import_image
    from mirp.data_import.import_mask import import_mask

    (image,) = import_image(np.ascontiguousarray(values.T))
    (region,) = import_mask(np.ascontiguousarray(mask.T).astype(int))
    image.image_spacing = region.image_spacing = tuple(reversed(voxel_mm))
    ((images, regions),) = extract_images(
        image=image, mask=region, settings=settings, export_images=True, image_export_format="native"
    )
    return images[0], regions[0]


def _computed(image: Any, region: Any, settings: Any) -> dict[str, float]:
    """As MIRP's own extraction goes, but for what is left out, which its settings do not allow."""
    from mirp._features.feature_generator import generate_features

    features = [
        each
        for each in generate_features(settings=settings.feature_extr)
        if each.is_ibsi_compliant(image=image) and each.abbr_name not in LEFT_OUT
    ]
    for last, feature in zip([None, *features], features, strict=False):
        feature.compute(image=image, mask=region)
        feature.create_table_name()
        if last is not None:
            last.clear_local_cache(other=feature)
    for feature in features:
        feature.clear_cache()
    return {each.table_name: float(each.value) for each in features}


def _without_gaps(values: Floats) -> Floats:
    """What is not known, which is outside of the region, by the nearest that is: interpolation spreads NaN."""
    unknown = ~np.isfinite(values)
    if not unknown.any():
        return values
    nearest = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(values[tuple(nearest)])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MIRP from setting up the root logger, which it does not where that has a handler, and from warnings.

    It warns of what is not defined in a small or even region, which is NaN here, and of regions that are lost in
    resampling, which are refused.
    """
    silent = logging.NullHandler()
    logging.getLogger().addHandler(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().removeHandler(silent)
