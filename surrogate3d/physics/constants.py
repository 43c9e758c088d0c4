"""Physical constants in the units of the engine (keV/um, MeV/u, um, Gy; water of 1 g/cm^3)."""

from __future__ import annotations

K_GY = 0.1602176634
"""Dose of unit fluence and unit LET, Gy um^2 per (keV/um), in water: D = K_GY * fluence * LET. Exact (SI 2019)."""

AMU_MEV = 931.49410242
"""Atomic mass unit, MeV/c^2 (CODATA 2018)."""

ELECTRON_MEV = 0.51099895
"""Electron mass, MeV/c^2 (CODATA 2018)."""

MM2_PER_UM2 = 1e-6
"""Turns a fluence in 1/mm^2, as stored, into 1/um^2, as `K_GY` wants it."""
