"""A store is refused unless every file is there, is listed, and is unchanged."""

import hashlib
import json

import pytest

from surrogate3d.errors import StoreError
from surrogate3d.io.manifest import FIELD_SCHEMA, MANIFEST_NAME, has_schema, sha256_file, verify, write_manifest


@pytest.fixture
def store(tmp_path):
    store = tmp_path / "a.field.zarr"
    (store / "spectra" / "c").mkdir(parents=True)
    (store / "zarr.json").write_text("{}")
    (store / "spectra" / "c" / "0").write_bytes(bytes(range(256)))
    return store


def test_sha256_is_that_of_fips_180(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1: the digest of the message "abc".
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_manifest_lists_every_file_and_its_hash_is_the_id(store):
    identity = write_manifest(store)
    manifest = json.loads((store / MANIFEST_NAME).read_text())
    assert manifest["schema"] == "surrogate3d.field/1" == FIELD_SCHEMA
    assert manifest["files"] == {
        "spectra/c/0": {"sha256": hashlib.sha256(bytes(range(256))).hexdigest(), "size": 256},
        "zarr.json": {"sha256": hashlib.sha256(b"{}").hexdigest(), "size": 2},
    }
    assert identity == hashlib.sha256((store / MANIFEST_NAME).read_bytes()).hexdigest() == verify(store)


def test_a_missing_file_is_named(store):
    write_manifest(store)
    (store / "spectra" / "c" / "0").unlink()
    with pytest.raises(StoreError, match=r"incomplete: spectra/c/0 is missing"):
        verify(store, hashes=False)


def test_a_truncated_file_is_named_even_without_hashes(store):
    write_manifest(store)
    (store / "spectra" / "c" / "0").write_bytes(bytes(range(255)))
    with pytest.raises(StoreError, match=r"spectra/c/0 has 255 bytes, expected 256"):
        verify(store, hashes=False)


def test_one_flipped_bit_is_found_and_the_file_named(store):
    write_manifest(store)
    (store / "zarr.json").write_text("{|")
    verify(store, hashes=False)
    with pytest.raises(StoreError, match=r"zarr.json differs from its SHA-256"):
        verify(store)


def test_a_file_that_is_not_listed_is_named(store):
    write_manifest(store)
    (store / "spectra" / "c" / "1").write_bytes(b"a chunk from elsewhere")
    with pytest.raises(StoreError, match=r"spectra/c/1, which its manifest.json does not list"):
        verify(store)


def test_hidden_files_of_the_system_do_no_harm(store):
    (store / ".nfs01").write_text("")
    identity = write_manifest(store)
    (store / ".DS_Store").write_text("")
    assert verify(store) == identity


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"schema": "surrogate3d.field/1", "files": {"zarr.json": 1}}', '{"schema": 1}']
)
def test_a_damaged_manifest_is_refused(store, content):
    (store / MANIFEST_NAME).write_text(content)
    with pytest.raises(StoreError, match=r"manifest.json"):
        verify(store)


def test_another_schema_is_refused(store):
    write_manifest(store, schema="surrogate3d.field/2")
    with pytest.raises(StoreError, match=r"has schema 'surrogate3d.field/2', expected 'surrogate3d.field/1'"):
        verify(store)


def test_a_path_without_store_or_manifest_is_refused(store, tmp_path):
    with pytest.raises(StoreError, match="no store at"):
        verify(tmp_path / "absent")
    with pytest.raises(StoreError, match=r"has no manifest.json"):
        verify(store)


def test_only_our_own_json_is_recognised(store):
    write_manifest(store)
    assert has_schema(store / MANIFEST_NAME, FIELD_SCHEMA)
    for foreign in ('{"schema": "https://json.schemastore.org"}', '{"name": "a web application"}', "[]", "not json"):
        (store / MANIFEST_NAME).write_text(foreign)
        assert not has_schema(store / MANIFEST_NAME, FIELD_SCHEMA)
    assert not has_schema(store / "absent.json", FIELD_SCHEMA)
