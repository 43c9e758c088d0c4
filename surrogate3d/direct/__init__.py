"""Direct simulation of cell survival in single voxels, and the ledger that never pays for one twice."""
