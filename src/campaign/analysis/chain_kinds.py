"""Kinds of effective sample sizes and Monte Carlo errors, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from campaign import diagnostics
from campaign.errors import UnknownName, nearest

_ESS = {k: getattr(diagnostics, f"ess_{k}") for k in ("bulk", "tail", "mean", "sd")}
_MCSE = {k: getattr(diagnostics, f"mcse_{k}") for k in ("mean", "sd")}


def ess_of(kind: str, probability: float) -> Callable[[np.ndarray], float]:
    """The effective sample size "bulk", "tail", "mean", "sd", or "quantile" (that of `probability`)."""
    return _chosen(_ESS, diagnostics.ess_quantile, kind, probability, "tau")


def mcse_of(kind: str, probability: float) -> Callable[[np.ndarray], float]:
    """The Monte Carlo error of a "mean", an "sd", or a "quantile" (that of `probability`)."""
    return _chosen(_MCSE, diagnostics.mcse_quantile, kind, probability)


def _chosen(
    known: Mapping[str, Callable[[np.ndarray], float]],
    of_quantile: Callable[[np.ndarray, float], float],
    kind: str,
    probability: float,
    *more: str,
) -> Callable[[np.ndarray], float]:
    if kind == "quantile":
        return lambda draws: of_quantile(draws, probability)
    if kind not in known:
        raise UnknownName(f"unknown kind `{kind}`", hint=nearest(kind, [*known, "quantile", *more]))
    return known[kind]
