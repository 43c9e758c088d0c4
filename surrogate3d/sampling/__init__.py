"""Which few voxels are worth a full simulation: stratified, then the most distinct. numpy and scipy only."""

from surrogate3d.sampling.candidates import Candidates, PlanFeatures, candidates
from surrogate3d.sampling.sampler import Sampler, VoxelKey
from surrogate3d.sampling.selection import SelectedVoxel, Selection, held_out, select

__all__ = [
    "Candidates",
    "PlanFeatures",
    "Sampler",
    "SelectedVoxel",
    "Selection",
    "VoxelKey",
    "candidates",
    "held_out",
    "select",
]
