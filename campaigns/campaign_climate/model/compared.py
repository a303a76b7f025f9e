"""One variable as a fit compares it: where its values stand in the model's series, and residuals with unit errors.

Everything works on NumPy arrays and under JAX, and its bits do not depend on how many points are computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue, nearest
from campaign_climate.model.observation import Observation
from campaign_climate.model.sums import namespace, ordered_sum

_SAME_TIME = 1e-6  # years


class Compared(eqx.Module):
    """Observations of one variable with the errors that a likelihood gives them.

    Attributes:
        variable: static.
        values: anomalies (n,).
        sigma: effective errors σ/√w, (n,).
        reference: weights (n,) of the mean that is taken from the model, 1/m at the m times in the reference period;
            zeros where values are absolute.
        memory: φ_i = rho^(t_i − t_{i−1}), (n,), the correlation of an error with the one before it; φ_0 = 0. None
            where errors are independent or have a covariance.
        whitening: inverse Cholesky factor (n, n) of a full covariance of residuals/σ; None where there is none.
        log_norm: −Σ ln σ_i − ½ Σ ln(1 − φ_i²) − n/2 ln 2π, with the weights left out.
    """

    variable: str = eqx.field(static=True)
    values: Float[Any, " n"]
    sigma: Float[Any, " n"]
    reference: Float[Any, " n"]
    memory: Float[Any, " n"] | None
    whitening: Float[Any, "n n"] | None
    log_norm: Float[Any, ""]

    @classmethod
    def of(cls, own: Observation, sigma: np.ndarray, covariance: np.ndarray | None = None) -> Compared:
        """Args:
        own: the observations, relative to their reference period.
        sigma: one standard deviation each (n,).
        covariance: of all errors (n, n), with `sigma` as the roots of its diagonal.
        """
        inside = own.in_reference
        phi = np.concatenate([[0.0], own.rho ** np.diff(own.times)]) if own.rho else np.zeros(len(own))
        whitening, log_det = None, 0.5 * float(np.sum(np.log1p(-(phi**2))))
        if covariance is not None:
            factor = np.linalg.cholesky(covariance / np.outer(sigma, sigma))
            whitening = np.tril(np.linalg.solve(factor, np.eye(len(own))))
            log_det = float(np.sum(np.log(np.diagonal(factor))))
        return cls(
            variable=own.variable,
            values=own.anomalies,
            sigma=sigma / np.sqrt(own.weights),
            reference=inside / max(inside.sum(), 1),
            memory=phi if own.rho else None,
            whitening=whitening,
            log_norm=np.asarray(-np.sum(np.log(sigma)) - log_det - 0.5 * len(own) * math.log(2.0 * math.pi)),
        )

    def anomalies(self, model: Float[Any, " n"]) -> Float[Any, " n"]:
        """Model values at the observed times, relative to their own mean over the reference period."""
        return model - ordered_sum(self.reference * model)[..., None]

    def residuals(self, model: Float[Any, " n"]) -> Float[Any, " n"]:
        """(anomalies − values)/σ without correlation: r·r is χ² of absolute or relative model values (n,).

        With memory φ the errors are those of an autoregressive process of first order, for any distances in time:
        r_i = (e_i − φ_i e_{i−1})/√(1 − φ_i²).
        """
        e = (self.anomalies(model) - self.values) / self.sigma
        if self.whitening is not None:
            return ordered_sum(self.whitening * e[..., None, :])
        if self.memory is None:
            return e
        before = namespace(e).concatenate([e[..., :1], e[..., :-1]], axis=-1)
        return (e - self.memory * before) / (1.0 - self.memory**2) ** 0.5


def positions(observed: Observation, times: np.ndarray) -> np.ndarray:
    """Where the observed times stand among those of a series, (n,) integers.

    A series of whole years answers for any time in the year; another series only for its own times.

    Raises:
        InvalidValue: a time is not there; says which.
    """
    times = np.asarray(times, np.float64)
    is_annual = bool(np.all(times == np.floor(times)))
    wanted = np.floor(observed.times + _SAME_TIME) if is_annual else observed.times
    order = np.argsort(times)
    place = np.clip(np.searchsorted(times[order], wanted - _SAME_TIME), 0, len(times) - 1)
    found = order[place]
    missing = np.flatnonzero(np.abs(times[found] - wanted) > _SAME_TIME)
    if missing.size:
        raise InvalidValue(
            f"the model gives no `{observed.variable}` at {observed.times[missing[0]]:g} "
            f"({missing.size} of {len(wanted)} observed times are missing; it has {times.min():g} to {times.max():g})",
            hint="choose a forcing that reaches so far, or leave these observations out",
        )
    return found


def require_outputs(
    wanted: tuple[str, ...], given: Mapping[str, Any] | tuple[str, ...], what: str = "variable"
) -> None:
    """Check that a model gives what is compared.

    Raises:
        InvalidValue: it does not; says what it gives.
    """
    for name in wanted:
        if name not in given:
            raise InvalidValue(
                f"the model gives no {what} `{name}`", hint=f"{nearest(name, given)} It gives: {', '.join(given)}"
            )
