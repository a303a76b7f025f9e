"""How far a model is from a target: Gaussian errors, or whatever has `ln_likelihood`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from campaign.science import InvalidValue
from campaign_climate.data.ranges import SplitNormal
from campaign_climate.model.compared import Compared, require_outputs
from campaign_climate.model.observation import Observation
from campaign_climate.model.sums import namespace, ordered_sum
from campaign_climate.model.target import Target

_LEAST = 0.01  # of the median error: a relative error below it gives one value the say over all


class Likelihood(Protocol):
    """What a user's own likelihood must have."""

    def ln_likelihood(self, output: Any, target: Target) -> Any:
        """ln L of a model's output.

        Args:
            output: variable → model values at the times of ``target[variable]``, relative to their mean over its
                reference period; derived numbers by their names. Arrays of JAX where the model is JAX.
            target: what it is compared with; ``target[variable].anomalies`` and ``.uncertainties``.

        Returns:
            A number; −inf or NaN for what is impossible.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianLikelihood:
    """ln L = −½ Σ r², r the residuals in units of their errors, correlated where the target says so.

    Attributes:
        relative_error: f; σ_i = f·|y_i| of the values before they are relative to a reference period.
        combine: "replace": σ_i instead of the target's errors; "quadrature": added to them in quadrature.
        floor: the least σ_i. Without one a σ_i below 1 % of the median is an error: it would outweigh all others.
        normalize: with −Σ ln σ_i − n/2 ln 2π and the norm of correlations, as a density of the data.

    Checked: tests/unit/climate/model/test_climate_likelihood.py against scipy.stats.multivariate_normal, 1e-10.
    """

    relative_error: float | None = None
    combine: Literal["replace", "quadrature"] = "replace"
    floor: float | None = None
    normalize: bool = False

    def __post_init__(self) -> None:
        if self.combine not in ("replace", "quadrature"):
            raise InvalidValue(f"`combine` is {self.combine!r}", hint="valid: 'replace', 'quadrature'")
        if self.relative_error is not None and not self.relative_error > 0:
            raise InvalidValue(f"`relative_error` is {self.relative_error}", hint="a number above 0, for example 0.05")

    def compared(self, target: Target) -> tuple[Compared, ...]:
        """The variables of a target with their errors.

        Raises:
            InvalidValue: a variable has no errors, or one that is too small.
        """
        return tuple(self._one(own) for own in target.observations)

    def ln_likelihood(self, output: Any, target: Target) -> Any:
        """ln L of a model's output: variable → values at the observed times, derived numbers by name.

        −inf for an output that is None or an error (a model that failed), and for NaN.
        """
        if output is None or isinstance(output, BaseException):
            return -np.inf
        return total(output, self.compared(target), target.scalars, self.normalize)

    def _one(self, own: Observation) -> Compared:
        if self.relative_error is None:
            unknown = np.flatnonzero(~np.isfinite(own.uncertainties))
            if unknown.size:
                raise InvalidValue(
                    f"`{own.variable}` has no uncertainty at index {unknown[0]} (time {own.times[unknown[0]]:g})",
                    hint="give the target uncertainties, or the likelihood a relative_error",
                )
            return Compared.of(own, own.uncertainties, own.covariance)
        relative = self._relative(own)
        if self.combine == "quadrature":
            if np.isnan(own.uncertainties).any():
                raise InvalidValue(f"`{own.variable}` has no uncertainties to combine with", hint='combine="replace"')
            sigma = np.hypot(own.uncertainties, relative)
            matrix = None if own.covariance is None else own.covariance + np.diag(relative**2)
            return Compared.of(own, sigma, matrix)
        if own.covariance is not None:
            raise InvalidValue(
                f"`{own.variable}` has a covariance, which a relative error would replace", hint='combine="quadrature"'
            )
        return Compared.of(own, relative)

    def _relative(self, own: Observation) -> np.ndarray:
        sigma = (self.relative_error or 0.0) * np.abs(own.values)
        if self.floor is not None:
            return np.maximum(sigma, self.floor)
        least = _LEAST * float(np.median(sigma))
        small = np.flatnonzero(~(sigma > 0) | (sigma < least))
        if small.size:
            i = small[0]
            raise InvalidValue(
                f"`{own.variable}` has the value {own.values[i]:g} at index {i} (time {own.times[i]:g}): its relative "
                f"error {sigma[i]:.3g} is below 1 % of the median one, {np.median(sigma):.3g}",
                hint="give `floor=`, the least error; or let the target have uncertainties",
            )
        return sigma


def total(
    output: Mapping[str, Any], compared: tuple[Compared, ...], scalars: Mapping[str, Any], normalize: bool
) -> Any:
    """ln L of an output; −inf where it is not a number.

    Args:
        output: variable → model values at the observed times, as the model gives them; derived numbers by name.
        compared: variables with their errors.
        scalars: distributions of derived numbers. Without `normalize` that of a split normal is 0 at its mode.
        normalize: with the norms of all densities.
    """
    require_outputs((*(one.variable for one in compared), *scalars), tuple(output), "output")
    value: Any = 0.0
    if compared:
        r = [one.residuals(output[one.variable]) for one in compared]
        value = -0.5 * ordered_sum(namespace(r[0]).concatenate([one * one for one in r], axis=-1))
        value = value + (sum(one.log_norm for one in compared) if normalize else 0.0)
    for name, distribution in scalars.items():
        if isinstance(distribution, SplitNormal) and not normalize:
            value = value - 0.5 * distribution.residual(output[name]) ** 2
        else:
            value = value + _log_density(distribution, output[name])
    xp = namespace(value)
    return xp.where(xp.isnan(value), -xp.inf, value)


def _log_density(distribution: Any, x: Any) -> Any:
    """On the host by the NumPy face of a prior, which has one."""
    on_host = namespace(x) is np and hasattr(distribution, "ln_pdf")
    return distribution.ln_pdf(x) if on_host else distribution.log_density(x)
