"""The scene of a plan: its field store, maps, structures and CT, and what a model predicts when it is asked to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ConfigError, UnsupportedError
from surrogate3d.grid import DoseField, Field, Grid, quantity
from surrogate3d.grid.colours import STRUCTURES
from surrogate3d.inference.maps import ALWAYS, PRESCRIBED, Fractionation
from surrogate3d.io.dicom_ct import read_ct_series
from surrogate3d.io.field_store import field_id, read_dose_field
from surrogate3d.io.images import read_image
from surrogate3d.io.stored_array import StoredArray, StoreFiles
from surrogate3d.io.zarr_group import quantity_of
from surrogate3d.pipeline.any_map import ReferenceMap
from surrogate3d.pipeline.dicom_files import grid_like
from surrogate3d.pipeline.judged_structures import structures_on
from surrogate3d.pipeline.recompute import CurveMaker, LqMaker, PlanRecomputer, dose_layers, with_charts
from surrogate3d.pipeline.reference_maps import on_grid
from surrogate3d.pipeline.scene_layers import layer_of
from surrogate3d.pipeline.scene_maps import SceneMaps, scene_maps
from surrogate3d.viewer.scene import Isodose, Layer, Scene, Structure, Voxel

DOSES = ("dose_to_water", "dose_to_medium")


@dataclass(frozen=True)
class SceneRequest:
    """What is to be seen.

    Attributes:
        field: a field store.
        maps: folders of maps, and images, on its grid.
        structures: an RT Structure Set, a folder of masks or a mask image.
        ct: an image, or the folder of a CT series; it is interpolated onto the grid of the field.
        model: which predicts, as of `predictors.predictor_by_name`; None takes the shipped one.
        lines: cell lines to predict for; without any nothing is predicted.
        fraction_dose_gy: dose of one fraction; None takes the prescribed dose over the fractions, else 2 Gy. Maps are
            shown as they are where neither this nor `fractions` is given.
        fractions: number of equal fractions.
    """

    field: Path
    maps: tuple[Path, ...] = ()
    structures: Path | None = None
    ct: Path | None = None
    model: str | None = None
    lines: tuple[str, ...] = ()
    fraction_dose_gy: float | None = None
    fractions: int = 1


class PlanScene(NamedTuple):
    """A scene, and what recomputes it; None where there is nothing to derive from."""

    scene: Scene
    recomputer: PlanRecomputer | None


def plan_scene(asked: SceneRequest) -> PlanScene:
    """The scene of a plan; volumes on disk stay there, but for the dose.

    Raises:
        ConfigError: a model is given without a cell line, or a fractionation without anything to derive it from,
            or two cell lines of one name.
        UnsupportedError: the model has no survival curves.
        GridMismatchError: maps or masks are on another grid.
        Surrogate3dError: something cannot be read or predicted.
    """
    if asked.model is not None and not asked.lines:
        raise ConfigError(f"model {asked.model} is given, and no cell line; name one: --cell-line HSG")
    field = read_dose_field(asked.field, lazy=True, volumes=DOSES)
    layers = [*dose_layers(field, None), *_stored_layers(asked.field, field)]
    maps = _maps(asked, field.grid, layers)
    layers += [layer for each in maps for layer in each.layers]
    notes = list(_foreign(asked, maps))
    if asked.ct is not None:
        ct = ct_on(asked.ct, field.grid)
        layers.append(layer_of(ct.volume.quantity, ct.volume.values, window=(-160.0, 240.0)))
        notes.append(f"CT: {ct.origin}.")
    structures, wrong = _structures(asked, field.grid)
    scene = Scene(
        title=asked.field.name,
        grid=field.grid,
        focus=_focus(field.dose),
        layers=tuple(layers),
        beam=_beam(field),
        structures=structures,
        isodose=_isodose(field),
        notes=(*notes, *wrong),
    )
    if asked.lines:
        return _predicted(scene, field, asked)
    return _settled(_of_maps(scene, field, maps), field, asked)


def _stored_layers(path: Path, field: DoseField) -> list[Layer]:
    """The store's other volumes, left on disk."""
    files = StoreFiles(path)
    names = [name for name in files.about()["volumes"] if name != field.dose_name]
    found = []
    for name in names:
        array = StoredArray(files, name, field.grid.shape)
        meaning = quantity_of(array.attributes)
        if meaning.unit == "Gy" and field.prescription is None:
            meaning = replace(meaning, unit="Gy, simulated histories")
        found.append(layer_of(meaning, array, group="mask" if name == "spectrum_fault" else "input"))
    return found


def _maps(asked: SceneRequest, grid: Grid, layers: list[Layer]) -> list[SceneMaps]:
    taken, found = {layer.name for layer in layers}, list[SceneMaps]()
    if asked.lines:
        taken |= {*ALWAYS, *PRESCRIBED}  # what is predicted here has the plain names
    for path in asked.maps:
        found.append(scene_maps(path, grid, taken))
        taken |= {layer.name for layer in found[-1].layers}
    return found


def _foreign(asked: SceneRequest, maps: list[SceneMaps]) -> list[str]:
    """Maps that say that they were made from another store."""
    own = field_id(asked.field)
    pairs = zip(asked.maps, maps, strict=True)
    wrong = [path.name for path, each in pairs if each.under is not None and each.under.field_id != own]
    return [f"The maps of {name} were made from another field store on the same grid." for name in wrong]


def ct_on(path: Path, grid: Grid) -> ReferenceMap:
    """An image, or a CT series, interpolated onto a grid."""
    volume = read_ct_series(path).volume if path.is_dir() else read_image(path, quantity("HU"))
    return on_grid(ReferenceMap(volume, path.name, ""), grid, path.name, resample=True)


def _structures(asked: SceneRequest, grid: Grid) -> tuple[tuple[Structure, ...], tuple[str, ...]]:
    if asked.structures is None:
        return (), ()
    found, problems = structures_on(asked.structures, grid, frame=grid_like(asked.field)[1])
    structures = [
        Structure(name, fraction, STRUCTURES[number % len(STRUCTURES)])
        for number, (name, fraction) in enumerate(found.items())
    ]
    return tuple(structures), tuple(problem.sentence for problem in problems)


def _focus(dose: npt.NDArray[np.floating]) -> Voxel:
    """Of the voxels with 80 % or more of the largest dose that which is nearest to the middle of all of them."""
    at = np.argwhere(dose >= 0.8 * np.nanmax(dose))
    i, j, k = (int(n) for n in at[((at - at.mean(axis=0)) ** 2).sum(axis=1).argmin()])
    return i, j, k


def _beam(field: DoseField) -> tuple[int, int] | None:
    if not isinstance(field, Field) or field.several_directions:
        return None
    return field.beam_axis, field.beam_sign


def _isodose(field: DoseField) -> Isodose:
    """Of the prescribed dose, else of the largest."""
    if field.prescription is None:
        return Isodose(field.dose_name, 1.0, "of maximum")
    return Isodose(field.dose_name, field.prescription.dose_gy or float(np.nanmax(field.dose)), "Gy")


def _of_maps(scene: Scene, field: DoseField, maps: list[SceneMaps]) -> PlanScene:
    """What maps of alpha and beta allow."""
    source = next((each for each in maps if each.under is not None and {"alpha", "beta"} <= set(each.values)), None)
    if source is None or source.under is None:
        return PlanScene(with_charts(scene, field, None), None)
    line, how = source.under.line, source.under.how
    maker = LqMaker(field, source.values["alpha"], source.values["beta"], line, source.under.photon)
    scene = replace(scene, voxels=maker.voxels(line, how.fractions))
    return PlanScene(
        with_charts(scene, field, how), PlanRecomputer(field, maker, line, how, _other_doses(scene, field))
    )


def _settled(found: PlanScene, field: DoseField, asked: SceneRequest) -> PlanScene:
    """Maps for the fractionation that is asked for; as they are if none is."""
    if asked.fraction_dose_gy is None and asked.fractions == 1:
        return found
    if found.recomputer is None:
        raise ConfigError("a fractionation is given, and nothing to derive it from: give maps of alpha and beta, too")
    line = str(found.recomputer.manifest()["line"])
    made = found.recomputer(found.scene, line, _fraction_dose(field, asked), asked.fractions)
    return PlanScene(made.scene, found.recomputer)


def _predicted(scene: Scene, field: DoseField, asked: SceneRequest) -> PlanScene:
    """Survival curves of all lines from one pass of the networks, and the maps of the first."""
    from surrogate3d.inference.curves import joined  # here, as without a model no network is loaded
    from surrogate3d.physics.cell_line import cell_line
    from surrogate3d.physics.mixing import MonoTable
    from surrogate3d.pipeline.predictors import MapRequest, predictor_by_name

    lines = tuple(dict.fromkeys(cell_line(name) for name in asked.lines))
    if len({line.name for line in lines}) < len(lines):
        raise ConfigError(f"two of the cell lines {', '.join(asked.lines)} have one name; rename one in its file")
    how = Fractionation(_fraction_dose(field, asked), asked.fractions)
    predictor = predictor_by_name(asked.field, asked.model, MapRequest(how))
    if predictor.tiled is None or predictor.inputs is None:
        raise UnsupportedError(
            "only networks on spectra, without oxygen, have survival curves to look at; predict maps with this model "
            "and give their folder"
        )
    tiles = predictor.tiled(lines)
    answers = list(tiles.answers(tiles.tiles))
    tables = {line: MonoTable.from_json(predictor.inputs(line)["table"]) for line in lines}
    maker = CurveMaker(predictor.field, {line: joined(tiles, answers, line) for line in lines}, tables)
    recomputer = PlanRecomputer(predictor.field, maker, lines[0].name, how, _other_doses(scene, field))
    made = recomputer(scene, lines[0].name, how.fraction_dose_gy, how.fractions).scene
    return PlanScene(made, recomputer)


def _other_doses(scene: Scene, field: DoseField) -> list[Layer]:
    """The store's doses besides that which the engine uses."""
    names = [name for name in ("dose_to_medium", "dose_std") if name != field.dose_name]
    return [layer for layer in scene.layers if layer.name in names and field.prescription is not None]


def _fraction_dose(field: DoseField, asked: SceneRequest) -> float:
    if asked.fraction_dose_gy is not None:
        return asked.fraction_dose_gy
    prescribed = field.prescription.dose_gy if field.prescription is not None else None
    return 2.0 if prescribed is None else prescribed / asked.fractions
