"""Statistics of a fit by the names of its data sets. What needs no names is in `judge.statistics`. No JAX."""

from __future__ import annotations

from collections.abc import Sequence

from campaign.science import InvalidValue
from campaign_cosmology.api.datasets import load_dataset
from campaign_cosmology.judge.statistics import MetricsDict, checked_dof, chi2_generic, delta_aic, metrics_of

__all__ = ["chi2_generic", "compute_dof", "compute_metrics", "delta_aic", "n_points"]


def n_points(datasets: Sequence[str]) -> int:
    """Data points of the named sets.

    Raises:
        KeyError: an unknown data set. ValueError: none named.
    """
    if not datasets:
        raise InvalidValue("no data set is named")
    return sum(len(load_dataset(name)["observations"]) for name in datasets)


def compute_dof(datasets: Sequence[str], n_params: int) -> int:
    """N − k. Zero or less means that the data cannot test the model, and is warned about.

    Count every fitted number in `n_params`, the magnitude offset of a supernova set too.
    """
    return checked_dof(n_points(datasets), n_params)


def compute_metrics(chi2: float, n_params: int, datasets: Sequence[str]) -> MetricsDict:
    """Statistics of a fit from its chi2, the number of fitted parameters and the names of its data sets."""
    return metrics_of(chi2, n_params, n_points(datasets))
