"""What the engine runs on."""

from __future__ import annotations

import os
import platform
import re
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import numba
import torch

import surrogate3d
from surrogate3d.direct.simulator import BACKENDS
from surrogate3d.physics.cell_line import cell_lines
from surrogate3d.physics.mixing import mono_tables
from surrogate3d.pipeline.models import shipped


def facts() -> dict[str, Any]:
    """Versions, processors, memory and disk in GB, and what is shipped; None for what the system does not tell."""
    cuda = range(torch.cuda.device_count()) if torch.cuda.is_available() else range(0)
    return {
        "surrogate3d": surrogate3d.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "dependencies": _dependencies(),
        "cpus": os.cpu_count(),
        "threads": {"torch": torch.get_num_threads(), "numba": numba.get_num_threads()},
        "cuda_devices": [torch.cuda.get_device_name(number) for number in cuda],
        "memory_gb": {"total": _memory_gb("SC_PHYS_PAGES"), "free": _memory_gb("SC_AVPHYS_PAGES")},
        "disk_free_gb": shutil.disk_usage(Path.cwd()).free / 1e9,
        "cell_lines": cell_lines(),
        "mono_tables": mono_tables(),
        "backends": list(BACKENDS),
        "models": shipped(),
    }


def _dependencies() -> dict[str, str | None]:
    wanted = [text for text in requires("surrogate3d") or () if "extra ==" not in text]
    names = [found[0] for text in wanted if (found := re.match(r"[A-Za-z0-9._-]+", text))]
    return {name: _version(name) for name in names}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _memory_gb(name: str) -> float | None:
    if name not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE") / 1e9
