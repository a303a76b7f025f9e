"""Priors by name, and sets of parameters that have them. Each name makes a `Prior`, which manifests write as JSON.

    Uniform(low, high)              Normal(mean, sd)              TruncatedNormal(mean, sd, low, high)
    LogNormal(mean_log, sd_log)     LogNormal.from_mean_std(mean, sd)
    LogUniform(low, high)           Bound(prior, lower=…, upper=…)

Imports no JAX. Other kinds: ``Prior("gamma", (shape, rate))``; `KINDS` names them and their numbers.
"""

from __future__ import annotations

import math

from campaign.space.parameter_set import ParameterDefinition, ParameterSet
from campaign.space.priors import BOUND, KINDS, Prior, document, log_normal_of, parse

__all__ = [
    "KINDS",
    "Bound",
    "LogNormal",
    "LogUniform",
    "Normal",
    "ParameterDefinition",
    "ParameterSet",
    "Prior",
    "TruncatedNormal",
    "Uniform",
    "document",
    "parse",
]


def Uniform(low: float, high: float) -> Prior:
    """Density 1/(high − low) on [low, high]."""
    return Prior("uniform", (low, high))


def LogUniform(low: float, high: float) -> Prior:
    """Density 1/(x ln(high/low)) on [low, high], low > 0."""
    return Prior("log_uniform", (low, high))


def Normal(mean: float, sd: float) -> Prior:
    """The normal distribution."""
    return Prior("normal", (mean, sd))


def TruncatedNormal(mean: float, sd: float, low: float, high: float) -> Prior:
    """The normal distribution between two finite bounds, normalised there."""
    return Prior("truncated_normal", (mean, sd, low, high))


class LogNormal:
    """The distribution of exp(y) with y normal; calling it gives a `Prior`."""

    def __new__(cls, mean_log: float, sd_log: float) -> Prior:
        """From mean and standard deviation of ln x."""
        return Prior("log_normal", (mean_log, sd_log))

    @staticmethod
    def from_mean_std(mean: float, sd: float) -> Prior:
        """From mean and standard deviation of x."""
        return log_normal_of(mean, sd)


def Bound(prior: Prior, lower: float | None = None, upper: float | None = None) -> Prior:
    """A distribution between bounds, normalised there; None is open. Bounds of bounds become one.

    Raises:
        InvalidValue: no bound at all, or nothing of the distribution is between them.
    """
    return Prior(BOUND, (-math.inf if lower is None else lower, math.inf if upper is None else upper), of=prior)
