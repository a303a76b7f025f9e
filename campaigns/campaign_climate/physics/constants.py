"""Constants of the model. No JAX."""

from __future__ import annotations

from math import pi

SECONDS_PER_YEAR = 365.25 * 86_400.0
EARTH_RADIUS_M = 6.371e6
EARTH_AREA_M2 = 4.0 * pi * EARTH_RADIUS_M**2
ZJ_PER_W_YR_M2 = SECONDS_PER_YEAR * EARTH_AREA_M2 / 1e21  # 16.09641 ZJ for 1 W yr m⁻² over the whole Earth
OCEAN_FRACTION = 0.91  # of the heat goes into the ocean: IPCC AR6 WGI, table 7.1
F2X_W_M2 = 3.93  # effective radiative forcing of doubled CO2: IPCC AR6 WGI, sec. 7.3.2.1
RUNAWAY_K = 1e3  # a temperature beyond this is a failure of the model
