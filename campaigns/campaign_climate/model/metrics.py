"""Numbers that say how a model fits one variable. For NumPy and JAX arrays."""

from __future__ import annotations

from typing import Any

from campaign_climate.model.compared import Compared
from campaign_climate.model.sums import namespace, ordered_sum

NAMES = ("rmse", "bias", "mae", "r2", "chi2_per_n")


def metrics(compared: Compared, model: Any) -> dict[str, Any]:
    """How far model values (n,) are from observations y, both relative to the reference period.

    With d = model − y: rmse = √mean(d²), bias = mean(d), mae = mean|d|, r2 = 1 − Σd²/Σ(y − mean y)² (NaN for a constant
    y; below 0 where the mean of y fits better), chi2_per_n = r·r/n with the residuals of the likelihood.

    Checked: tests/unit/climate/model/test_climate_likelihood.py against scipy.
    """
    n = len(compared.values)
    d, r = compared.anomalies(model) - compared.values, compared.residuals(model)
    xp = namespace(d)
    square, offset, size, chi2 = (one / n for one in ordered_sum(xp.stack([d * d, d, xp.abs(d), r * r])))
    variance = compared.values.var()
    return {
        "rmse": xp.sqrt(square),
        "bias": offset,
        "mae": size,
        "r2": xp.where(variance > 0, 1.0 - square / xp.where(variance > 0, variance, 1.0), xp.nan),
        "chi2_per_n": chi2,
    }


def identifier(variable: str) -> str:
    """``"Surface Temperature|End"`` → ``"surface_temperature_end"``, for columns of tables."""
    return "".join(c if c.isalnum() else "_" for c in variable.lower())
