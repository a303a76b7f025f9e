"""Numbers that belong to no telescope."""

from __future__ import annotations

import math

ARCSEC = math.pi / 648_000.0  # [rad]
NM = 1e-9  # [m]
