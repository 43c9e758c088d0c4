"""Experiments of `invitro_folder` as arrays, made once."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from invitro_folder import write_pide_like

from surrogate3d.invitro.dataset import InVitroData, dataset
from surrogate3d.io.pide import read_pide


@cache
def folder_data(seed: int = 3, publications: int = 12, per_publication: int = 8) -> InVitroData:
    """A data set of made-up experiments, with all that the reader and the features do."""
    with TemporaryDirectory() as folder:
        write_pide_like(Path(folder), np.random.default_rng(seed), publications, per_publication)
        return dataset(read_pide(Path(folder)).experiments)
