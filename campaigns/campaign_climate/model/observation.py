"""Observations of one variable, checked where they are made. No JAX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from campaign.science import InvalidValue

Numbers = Sequence[float] | np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """Measured values of one variable, in the order of time.

    Attributes:
        variable: what the model calls it.
        times: (n,), increasing.
        values: (n,), as given. anomalies: (n,), `values` relative to `reference`; the same where there is none.
        uncertainties: one standard deviation (n,), extra errors included; NaN where none is known.
        weights: (n,); a weight w counts like an error of σ/√w.
        rho: correlation of errors a year apart; that of times t apart is rho^|t|.
        covariance: of the errors (n, n), instead of uncertainties and rho.
        reference: years whose mean is taken from model and values alike, both ends included; None is absolute.
        n_dropped: how many values were NaN.
    """

    variable: str
    times: np.ndarray
    values: np.ndarray
    anomalies: np.ndarray
    uncertainties: np.ndarray
    weights: np.ndarray
    rho: float = 0.0
    covariance: np.ndarray | None = None
    reference: tuple[float, float] | None = None
    n_dropped: int = 0

    def __len__(self) -> int:
        return len(self.times)

    @property
    def in_reference(self) -> np.ndarray:
        """Which times are in the reference period, (n,)."""
        if self.reference is None:
            return np.zeros(len(self.times), bool)
        return (self.times >= self.reference[0]) & (self.times <= self.reference[1])

    def relative(self, model: Any) -> Any:
        """Model values at the observed times (n,), relative to their own mean over the reference period."""
        inside = self.in_reference
        return model - (model[inside].sum() / inside.sum() if inside.any() else 0.0)

    def relative_to(self, reference: tuple[float, float] | None) -> Observation:
        """The same observations as anomalies. Their errors are unchanged, though the mean has an error of its own.

        Raises:
            InvalidValue: nothing was observed in the period.
        """
        own = replace(self, reference=reference)
        if reference is None:
            return replace(own, anomalies=self.values)
        if not own.in_reference.any():
            start, end = reference
            raise InvalidValue(
                f"`{self.variable}` has no data in the reference period {start:g} to {end:g} "
                f"(it has {self.times[0]:g} to {self.times[-1]:g})",
                hint='give a period for each variable: {"Surface Temperature": (1850, 1900), '
                '"Ocean Heat Content": (1995, 2014)}, or None for absolute values',
            )
        return replace(own, anomalies=self.values - self.values[own.in_reference].mean())


def observation(
    variable: str,
    times: Numbers,
    values: Numbers,
    uncertainties: Numbers | float | None = None,
    *,
    relative_error: float | None = None,
    floor: float | None = None,
    extra_sigma: Numbers | float = 0.0,
    weights: Numbers | float = 1.0,
    rho: float = 0.0,
    covariance: Any = None,
) -> Observation:
    """Observations from arrays: NaN values are dropped and counted, times are sorted.

    Args:
        variable: what the model calls it.
        times, values: (n,).
        uncertainties: one standard deviation, a number or (n,); None where none is known.
        relative_error: instead of `uncertainties`: σ = relative_error·|value|, at least `floor`.
        extra_sigma: 0 or more, added in quadrature, for example internal variability; a number or (n,).
        weights: above 0.
        rho: 0 ≤ rho < 1.
        covariance: (n, n), instead of the errors above.

    Raises:
        InvalidValue: lengths differ, a time appears twice, an error is not positive; with the index.
    """
    where = f"observations of `{variable}`"
    t, y = np.atleast_1d(np.asarray(times, np.float64)), np.atleast_1d(np.asarray(values, np.float64))
    if t.ndim != 1 or t.shape != y.shape:
        raise InvalidValue(f"{where}: {t.shape} times and {y.shape} values", hint="one value for each time")
    if (wrong := np.flatnonzero(~np.isfinite(t))).size:
        raise InvalidValue(f"{where}: the time at index {wrong[0]} is {t[wrong[0]]}")
    if (wrong := np.flatnonzero(np.isinf(y))).size:
        raise InvalidValue(f"{where}: the value at index {wrong[0]} is {y[wrong[0]]}", hint="NaN marks what is missing")
    if not 0.0 <= rho < 1.0:
        raise InvalidValue(f"{where}: rho is {rho}", hint="a correlation of at least 0 and below 1")
    extra = _each(where, "extra_sigma", extra_sigma, y)
    if (wrong := np.flatnonzero(~(extra >= 0) | np.isinf(extra))).size:
        text = f"{where}: extra_sigma at index {wrong[0]} is {extra[wrong[0]]}"
        raise InvalidValue(text, hint="an error of 0 or more, one standard deviation")
    if covariance is None:
        sigma = _sigma(where, y, uncertainties, relative_error, floor, extra)
        matrix = None
    else:
        others = (uncertainties is not None, relative_error is not None, floor is not None, rho, extra.any())
        matrix = _checked(where, np.asarray(covariance, np.float64), len(y), any(others))
        sigma = np.sqrt(np.diagonal(matrix))
    weight = _each(where, "weights", weights, y)
    if (wrong := np.flatnonzero(~(weight > 0) | np.isinf(weight))).size:
        raise InvalidValue(
            f"{where}: the weight at index {wrong[0]} is {weight[wrong[0]]}", hint="above 0; NaN values are left out"
        )
    known = np.flatnonzero(~np.isnan(y))
    if not known.size:
        what = f"all {len(y)} values are NaN" if len(y) else "there are none"
        raise InvalidValue(f"{where}: {what}", hint="check the file, and `until` where it is given")
    order = known[np.argsort(t[known], kind="stable")]
    twice = np.flatnonzero(np.diff(t[order]) == 0)
    if twice.size:
        raise InvalidValue(
            f"{where}: the time {t[order][twice[0]]:g} appears twice", hint="give one value for each time"
        )
    return Observation(
        variable=variable,
        times=t[order],
        values=y[order],
        anomalies=y[order],
        uncertainties=sigma[order],
        weights=weight[order],
        rho=float(rho),
        covariance=None if matrix is None else matrix[np.ix_(order, order)],
        n_dropped=len(y) - len(order),
    )


def _each(where: str, name: str, given: Any, values: np.ndarray) -> np.ndarray:
    own = np.asarray(given, np.float64)
    if own.shape not in ((), values.shape):
        raise InvalidValue(
            f"{where}: `{name}` has shape {own.shape}", hint=f"a number, or one for each value: {values.shape}"
        )
    return np.broadcast_to(own, values.shape).copy()


def _sigma(
    where: str, values: np.ndarray, given: Any, relative: float | None, floor: float | None, extra: np.ndarray
) -> np.ndarray:
    if given is not None and relative is not None:
        raise InvalidValue(f"{where}: uncertainties and relative_error", hint="give one of them")
    is_known = ~np.isnan(values)
    if given is None and relative is None:
        own = np.full(values.shape, np.nan)
        return extra if (extra[is_known] > 0).all() else own
    if relative is not None:
        if not relative > 0:
            raise InvalidValue(f"{where}: relative_error is {relative}", hint="a number above 0")
        own = np.maximum(relative * np.abs(values), 0.0 if floor is None else floor)
        hint = "a relative error of 0 is none: give `floor=`, the least error"
    else:
        own = _each(where, "uncertainties", given, values)
        hint = "errors are positive, one standard deviation"
    wrong = np.flatnonzero(is_known & (~(own > 0) | np.isinf(own)))
    if wrong.size:
        i = wrong[0]
        raise InvalidValue(f"{where}: the error at index {i} (value {values[i]:g}) is {own[i]:g}", hint=hint)
    return np.sqrt(own**2 + extra**2)


def _checked(where: str, matrix: np.ndarray, n: int, has_others: bool) -> np.ndarray:
    if has_others:
        raise InvalidValue(
            f"{where}: covariance beside other errors", hint="the covariance says everything: leave them"
        )
    if matrix.shape != (n, n):
        raise InvalidValue(
            f"{where}: the covariance has shape {matrix.shape}", hint=f"one row for each value: {(n, n)}"
        )
    if not np.allclose(matrix, matrix.T, rtol=1e-10, atol=0.0):
        raise InvalidValue(f"{where}: the covariance is not symmetric")
    least = np.linalg.eigvalsh(matrix)[0]
    if not least > 0:
        raise InvalidValue(f"{where}: the covariance has the eigenvalue {least:g}", hint="it must be positive definite")
    return matrix
