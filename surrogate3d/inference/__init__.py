"""Whole-volume prediction: survival curves of every voxel, and the maps that follow from them."""
