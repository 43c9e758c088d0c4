"""Which few voxels are worth a full simulation, by several strategies. numpy, scipy and numba only."""

from surrogate3d.sampling.acquisition import STRATEGIES, Pool, Strategy, strategy
from surrogate3d.sampling.candidates import Candidates, PlanFeatures, candidates
from surrogate3d.sampling.sampler import Sampler, VoxelKey
from surrogate3d.sampling.selection import SelectedVoxel, Selection, held_out, select
from surrogate3d.sampling.stopping import Verdict, verdict

__all__ = [
    "Candidates",
    "PlanFeatures",
    "Pool",
    "STRATEGIES",
    "Sampler",
    "SelectedVoxel",
    "Selection",
    "Strategy",
    "Verdict",
    "VoxelKey",
    "candidates",
    "held_out",
    "select",
    "strategy",
    "verdict",
]
