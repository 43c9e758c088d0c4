import tarfile
from pathlib import Path

import pytest

ARCHIVES = Path(__file__).parents[1].parent / "shared" / "data" / "topas"


@pytest.fixture(scope="session")
def topas_data(tmp_path_factory):
    """Unpacks a real run by name, once a session; skips where the archives are not beside the repository."""
    unpacked = tmp_path_factory.mktemp("topas")

    def folder(name):
        archive = ARCHIVES / f"{name}.tar.xz"
        if not archive.is_file():
            pytest.skip(f"{archive.name} is not beside the repository")
        if not (unpacked / name).is_dir():
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
        return unpacked / name

    return folder
