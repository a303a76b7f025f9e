"""How well a model fits each variable of a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from campaign_climate.model.likelihood import GaussianLikelihood
from campaign_climate.model.metrics import metrics
from campaign_climate.model.target import Target


def fit_metrics(
    target: Target, output: Mapping[str, Any], likelihood: GaussianLikelihood | None = None
) -> dict[str, dict[str, float]]:
    """rmse, bias, mae, r2 and chi2_per_n of each variable, see `metrics`.

    Args:
        target: what was observed.
        output: variable → model values at the observed times (n,), absolute or relative.
        likelihood: whose errors chi2 is counted in.
    """
    compared = (likelihood or GaussianLikelihood()).compared(target)
    return {
        one.variable: {k: float(v) for k, v in metrics(one, np.asarray(output[one.variable], np.float64)).items()}
        for one in compared
    }
