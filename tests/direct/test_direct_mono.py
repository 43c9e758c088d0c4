"""Mono-energetic tables of any cell line, against the shipped Monte Carlo tables, `gsm2_mc`, and identities."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.direct import mono_cache, track_pairs
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.lookup import track_table
from surrogate3d.direct.mono import mono_table_of, mono_tables_of, shipped_table, table_key
from surrogate3d.direct.mono_cache import MonoCache, user_cache
from surrogate3d.direct.nucleus import axis_response, raster
from surrogate3d.direct.track_pairs import gamma_of
from surrogate3d.errors import StoreError, UnknownNameError
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.gsm2 import calibrate
from surrogate3d.physics.linear_quadratic import RBE_at_dose
from surrogate3d.physics.mixing import mono_table

HSG, V79 = cell_line("HSG"), cell_line("V79")
OWN = (replace(HSG, name="mine"), replace(V79, name="mine, too"))
KEY = table_key(HSG, ("H",))


@pytest.fixture(scope="module")
def made():
    """Carbon tables of two lines whose parameters are those of shipped ones, made together."""
    return mono_tables_of(OWN, ("C",), cache=None)


def RBE(table, row, line):
    return RBE_at_dose(2.0, 2 * table.alpha[row] + 4 * table.beta[row], line.alpha_x, line.beta_x)


@pytest.mark.parametrize("k", [0, 1])
def test_a_table_of_seconds_is_the_shipped_one_within_the_errors_of_that(made, k):
    line, table, shipped = OWN[k], made[k], mono_table((HSG, V79)[k].name)
    assert (table.cell_line, table.species) == (line.name, ("C",))
    np.testing.assert_allclose(table.energy_mev_u[0], shipped.energy_mev_u[5], rtol=1e-7)
    off = RBE(table, 0, line) / RBE(shipped, 5, line) - 1
    assert abs(off.mean()) < 0.0006  # the shipped ones have 0.0015 / sqrt(64) at most
    assert np.sqrt(np.mean(off**2)) < 0.0015
    pull = (table.alpha[0] - shipped.alpha[5]) / shipped.alpha_se[5]
    assert abs(pull.mean()) < 0.5
    assert np.sqrt(np.mean(pull**2)) < 1.6
    assert (table.beta_se > 0).any()


def test_a_table_does_not_depend_on_the_lines_made_with_it(made):
    alone = mono_table_of(OWN[1], ("C",), cache=None)
    assert alone.to_json() == made[1].to_json()


@pytest.mark.parametrize(("Z", "energy"), [(6, 20.0), (4, 15.0), (1, 0.4)])
def test_pairs_of_tracks_are_what_independent_domains_lack(mono, Z, energy):
    task = mono(Z, energy, ("HSG", "V79"))
    true = Gsm2MonteCarlo(max_nuclei=400_000).simulate([task], 5, 0.004)
    independent = Gsm2Fft().simulate([task])
    for line, mc, fft in zip((HSG, V79), true, independent, strict=True):
        at = mc.doses.index(2.0)
        lack, error = (fft.effect[at] - mc.effect[at]) / 4, mc.effect_se[at] / 4
        found = gamma_of(task, line.gsm2, 1.0)
        assert found.mean() == pytest.approx(lack, abs=3 * error + 0.15 * abs(lack))


def test_one_domain_lacks_nothing(mono):
    single = calibrate(0.3, 0.03, r_d=3.0, R_n=3.0)
    assert single.n_lateral == 1
    np.testing.assert_allclose(gamma_of(mono(6, 20.0), single, 1.0), 0.0, atol=1e-15)


def test_pairs_have_a_slow_twin(mono):
    task, cell = mono(2, 3.0), HSG.gsm2
    table, area = track_table(task.axes, cell.r_d, 1.0), raster(cell.r_d, cell.R_n, 1.0)
    rings, (values, scale) = table.z[0].astype(float) * table.yields[0, 0], axis_response(cell)
    pairs, q0 = np.ascontiguousarray(track_pairs._pairs(5.5, 3.8)[:2, :40]), 0.7

    def log_s(q):
        return np.interp(np.sqrt(q + q0) * scale, np.arange(len(values)), values) - np.interp(
            math.sqrt(q0) * scale, np.arange(len(values)), values
        )

    def lesions(place):
        b2 = ((area.axes_um - place) ** 2).sum(axis=1)
        index = np.minimum(b2 * (len(rings) / area.reach**2), len(rings) - 1).astype(int)
        return np.where(b2 < area.reach**2, rings[index], 0.0)

    def one(pair):
        q, p = lesions(pair[:2]), lesions(pair[2:])
        x, y, both = log_s(q), log_s(p), log_s(q + p)
        single = (np.exp(both) - np.exp(x + y))[(q > 0) & (p > 0)]
        return np.exp(both.sum()) - np.exp(x.sum() + y.sum()) - single.sum()

    fast = track_pairs._correlations(
        pairs, rings, area.reach**2, area.axes_um, area.first, area.members, area.width, area.source_radius, values,
        scale, q0,
    )  # fmt: skip
    slow = [np.mean([one(pair) for pair in block]) for block in pairs]
    np.testing.assert_allclose(fast, slow, atol=1e-12)


def test_a_line_of_a_shipped_name_with_other_parameters_does_not_get_the_shipped_table():
    assert mono_table_of(HSG, cache=None).to_json() == mono_table("HSG").to_json()
    other = replace(HSG, gsm2=calibrate(HSG.alpha_x, HSG.beta_x, r_d=0.8))  # same photon pair
    assert shipped_table(other) is None
    assert shipped_table(replace(HSG, name="mine")) is None


def test_an_unknown_ion_is_refused():
    with pytest.raises(UnknownNameError, match="species 'Xe'; known: H, He"):
        mono_table_of(HSG, ("H", "Xe"))


def test_a_table_is_made_once_and_serves_every_line_of_its_parameters(tmp_path):
    said, cache = [], MonoCache(tmp_path)
    first = mono_table_of(OWN[0], ("H",), lambda done, total: said.append((done, total)), cache=cache)
    assert said[-1] == (64, 64)
    again = mono_table_of(replace(OWN[0], name="another"), ("H",), said.append, cache=cache)
    assert len(said) == 64
    assert again.cell_line == "another"
    assert again.to_json() == {**first.to_json(), "cell_line": "another"}
    assert [path.name for path in tmp_path.iterdir()] == [cache.path(table_key(OWN[0], ("H",))).name]


def cached(folder):
    cache, told = MonoCache(folder), []
    cache.save(KEY, mono_table("HSG"), told.append)
    assert not told
    return cache, cache.path(KEY)


def test_a_kept_table_comes_back_whole(tmp_path):
    cache, _ = cached(tmp_path)
    assert cache.load(KEY, "HSG", pytest.fail).to_json() == mono_table("HSG").to_json()
    assert cache.load({**KEY, "version": 2}, "HSG", pytest.fail) is None


def altered(change):
    def apply(path):
        entry = json.loads(path.read_text())
        change(entry)
        path.write_text(json.dumps(entry))

    return apply


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-40]), "not JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "not JSON"),
        (lambda path: path.write_text("[]"), "expected an entry of schema"),
        (altered(lambda entry: entry.update(schema="other/1")), "expected an entry of schema"),
        (altered(lambda entry: entry.update(key={})), "of other parameters"),
        (altered(lambda entry: entry["table"]["alpha"][0].__setitem__(3, 0.1)), "not what was written"),
        (altered(lambda entry: entry["table"]["beta"][0].__setitem__(3, float("nan"))), "no standard JSON"),
        (altered(lambda entry: entry.update(table=[])), "not what was written"),
        (
            altered(lambda entry: entry.update(table={"schema": "x"}, sha256=mono_cache.digest({"schema": "x"}))),
            "expected a mono table",
        ),
    ],
)
def test_a_damaged_entry_is_not_trusted(tmp_path, damage, words):
    cache, path = cached(tmp_path)
    damage(path)
    told: list[str] = []
    assert cache.load(KEY, "HSG", told.append) is None
    assert len(told) == 1
    assert words in told[0]
    assert "made again" in told[0]


def test_a_damaged_entry_is_replaced_with_a_warning(tmp_path):
    cache = MonoCache(tmp_path)
    path = cache.path(table_key(OWN[0], ("H",)))
    path.write_text("{}")
    with pytest.warns(UserWarning, match="is damaged"):
        table = mono_table_of(OWN[0], ("H",), cache=cache)
    assert cache.load(table_key(OWN[0], ("H",)), "mine", pytest.fail).to_json() == table.to_json()


def test_a_cache_that_cannot_be_used_is_told_and_changes_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    told, cache = [], MonoCache(tmp_path / "file" / "mono")
    cache.save(KEY, mono_table("HSG"), told.append)
    assert cache.load(KEY, "HSG", told.append) is None
    assert "could not be kept" in told[0]
    assert "cannot be read" in told[1]


def test_the_cache_is_where_the_platform_wants_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert user_cache() == tmp_path / "elsewhere" / "surrogate3d"
    for ignored in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert user_cache() == tmp_path / ".cache" / "surrogate3d"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert MonoCache().path(KEY).parent == tmp_path / ".cache" / "surrogate3d" / "mono"


def test_a_user_without_a_home_is_told_how_to_keep_tables(monkeypatch):
    def homeless():
        raise RuntimeError("no home")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(StoreError, match="set XDG_CACHE_HOME"):
        user_cache()
    told: list[str] = []
    assert MonoCache().load(KEY, "HSG", told.append) is None
    assert "XDG_CACHE_HOME" in told[0]
