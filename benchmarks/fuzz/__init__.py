"""Fuzzing of every reader: damaged files must be refused, or read as what they still are.

    python -m benchmarks.fuzz --cases 20000 --seed 1 --processes 2

A case takes a small real or generated folder (`corpus`), damages it (`mutate`, `mutate_formats`), reads it through the
public entry point of its target (`targets_...`) in a process with limits (`worker`), and compares what was read with
what the undamaged folder gives (`judge`). What may differ follows from where the damage lies (`places`), and values
that differ must be those that the damaged file literally states. A case follows from the seed of the run, the target
and its number alone.
"""
