"""Cell lines: photon reference and the parameters of each radiobiological model, read from TOML with their source.

The shipped files lie in `data/cell_lines/`; a user's file of the same form is loaded by its path.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from surrogate3d.errors import ConfigError, UnknownNameError, ValueRangeError
from surrogate3d.physics.gsm2 import Gsm2Parameters, calibrate
from surrogate3d.physics.lem import LemParameters
from surrogate3d.physics.mkm import MkmParameters, saturation_z0
from surrogate3d.physics.oxygen import OsmkParameters

_TOP = {"name": str, "species": str, "tissue": str, "alpha_x": float, "beta_x": float, "source": str}
_GSM2 = {"r_d": float, "R_n": float, "r": float, "genome_gbp": float, "source": str}
_USUAL_GSM2 = {
    "r_d": 0.9, "R_n": 4.5, "r": 2.5, "genome_gbp": 6.2,
    "source": "rates calibrated in closed form on the photon pair; geometry of the shipped lines, as the file has none",
}  # fmt: skip
_MKM = {"alpha0": float, "beta0": float, "r_d": float, "R_n": float, "source": str}
_OSMK_NUMBERS = ("alpha_L", "alpha_S", "beta0", "r_d", "R_n", "z0", "z_R", "gamma", "R_m")
_OSMK = {**dict.fromkeys(_OSMK_NUMBERS, float), "source": str}
_LEM = {"alpha_x": float, "beta_x": float, "D_t": float, "r_n": float, "source": str}


@dataclass(frozen=True)
class CellLine:
    """One cell line.

    Attributes:
        name: identifier.
        species: animal species.
        tissue: origin of the line.
        alpha_x: photon alpha, 1/Gy.
        beta_x: photon beta, 1/Gy^2.
        source: where the photon pair was read.
        gsm2: GSM2 parameters, calibrated on the photon pair.
        gsm2_source: where the geometry and the calibration come from.
        mkm: a classic MKM parameter set, if there is one.
        smk: an SMK parameter set, if there is one.
        lem: a LEM I parameter set, if there is one.
        osmk: a parameter set of the SMK with oxygen effect, if there is one.
    """

    name: str
    species: str
    tissue: str
    alpha_x: float
    beta_x: float
    source: str
    gsm2: Gsm2Parameters
    gsm2_source: str
    mkm: MkmParameters | None
    smk: MkmParameters | None
    lem: LemParameters | None = None
    osmk: OsmkParameters | None = None

    @property
    def alpha_beta_x(self) -> float:
        """Photon alpha over beta, Gy; infinite when beta_x is 0."""
        return self.alpha_x / self.beta_x if self.beta_x > 0 else float("inf")


def cell_lines() -> tuple[str, ...]:
    """Names of the shipped cell lines."""
    folder = files("surrogate3d.physics") / "data" / "cell_lines"
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")))


def cell_line(name_or_path: str | Path) -> CellLine:
    """Load a cell line.

    Args:
        name_or_path: a shipped name (`cell_lines()`), or the path of a `.toml` file of the same form.

    Raises:
        UnknownNameError: neither a shipped name nor an existing file.
        ConfigError: the file is not TOML, a key is unknown or missing, or a value has the wrong type or range.
        ValueRangeError: GSM2 cannot reproduce the photon pair with the stated geometry.
    """
    if str(name_or_path) in cell_lines():
        resource = files("surrogate3d.physics") / "data" / "cell_lines" / f"{name_or_path}.toml"
        return _parse(resource.read_text(encoding="utf-8"), f"cell line {name_or_path}")
    path = Path(name_or_path)
    if not (path.suffix == ".toml" and path.is_file()):
        raise UnknownNameError(
            f"unknown cell line {str(name_or_path)!r}; known: {', '.join(cell_lines())}; "
            f"or give the path of an existing .toml file of the same form"
        )
    return _parse(path.read_text(encoding="utf-8"), str(path))


def _parse(text: str, where: str) -> CellLine:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from error
    gsm2, mkm, smk, lem, osmk = (data.pop(name, None) for name in ("gsm2", "mkm", "smk", "lem", "osmk"))
    top = _checked(data, _TOP, {}, where)
    kinetics = _checked(_USUAL_GSM2 if gsm2 is None else gsm2, _GSM2, {}, f"{where} [gsm2]")
    gsm2_source = kinetics.pop("source")
    kinetics["G"] = kinetics.pop("genome_gbp")
    try:
        calibrated = calibrate(top["alpha_x"], top["beta_x"], **kinetics)
    except ValueRangeError as error:
        raise ValueRangeError(f"{where}: {error}") from error
    return CellLine(
        **top,
        gsm2=calibrated,
        gsm2_source=gsm2_source,
        mkm=None if mkm is None else _classic(_checked(mkm, _MKM, {"z0": float}, f"{where} [mkm]")),
        smk=None if smk is None else MkmParameters(**_checked(smk, _MKM | {"z0": float}, {}, f"{where} [smk]")),
        lem=None if lem is None else LemParameters(**_checked(lem, _LEM, {}, f"{where} [lem]")),
        osmk=None if osmk is None else OsmkParameters(**_checked(osmk, _OSMK, {"K_mmHg": float}, f"{where} [osmk]")),
    )


def _classic(values: dict[str, Any]) -> MkmParameters:
    """A classic MKM set; its z0 follows from the radii unless the publication states one."""
    z0 = saturation_z0(values["r_d"], values["R_n"], values["beta0"])
    return MkmParameters(**({"z0": z0} | values))


def _checked(table: object, required: Mapping[str, type], optional: Mapping[str, type], where: str) -> dict[str, Any]:
    """Exactly the keys that are known, of the right type, numbers not negative."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: missing, or not a table; it needs the keys {', '.join(required)}")
    known = {**required, **optional}
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, 1, 0.0)[0]
            raise ConfigError(f"{where}: unknown key {key!r}, the nearest known key is {near!r}")
    missing = [key for key in required if key not in table]
    if missing:
        raise ConfigError(f"{where}: missing key {missing[0]!r}; needed: {', '.join(required)}")
    return {key: _value(value, known[key], f"{where}: {key}") for key, value in table.items()}


def _value(value: object, kind: type, where: str) -> str | float:
    if kind is str and isinstance(value, str) and value.strip():
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
        return float(value)
    expected = "a text that is not empty" if kind is str else "a finite number that is not negative"
    raise ConfigError(f"{where} must be {expected}, found {value!r}")
