"""What a fit says about the data: model, residuals, D(t) and shear rate with bands, scaling and χ² of each angle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from campaign_xpcs.api.inputs import Request
from campaign_xpcs.api.nlsq import problem_of
from campaign_xpcs.api.result import OptimizationResult


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """Arrays of a fit; `mask` is True where a point counts, and False on the diagonal.

    Attributes:
        c2, model, residual: (n_phi, N, N); residual is (c2 − model)/σ, NaN where a point does not count.
        rates: name → (rate, its standard error), (N,): "D" [Å²/s], "gamma_dot" [1/s].
        contrast, offset: (value, standard error) of each angle; no error where they were held.
        chi2, counts: Σ residual² over i < j of each angle, and the points in it.
    """

    phi_deg: Float[np.ndarray, " n_phi"]
    times_s: Float[np.ndarray, " N"]
    c2: Float[np.ndarray, "n_phi N N"]
    model: Float[np.ndarray, "n_phi N N"]
    residual: Float[np.ndarray, "n_phi N N"]
    mask: Bool[np.ndarray, "n_phi N N"]
    rates: dict[str, tuple[np.ndarray, np.ndarray]]
    contrast: tuple[np.ndarray, np.ndarray]
    offset: tuple[np.ndarray, np.ndarray]
    chi2: Float[np.ndarray, " n_phi"]
    counts: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """What ``fitted_data.npz`` holds."""
        found = {
            "phi_angles": self.phi_deg,
            "t": self.times_s,
            "c2_exp": self.c2,
            "c2_fit": self.model,
            "residual_over_sigma": self.residual,
            "mask": self.mask,
            "chi2_of_angle": self.chi2,
            "points_of_angle": self.counts,
        }
        for name, (value, error) in {**self.rates, "contrast": self.contrast, "offset": self.offset}.items():
            found |= {name: value, f"{name}_error": error}
        return found


def fitted_arrays(asked: Request, result: OptimizationResult) -> Fitted:
    """The arrays of a result.

    Bands are linear: Var f = ∇f · C · ∇f.

    Checked: tests/unit/xpcs/api/test_xpcs_fitted.py: Σ of χ² of the angles is the result's χ²; bands against draws.
    """
    problem: Any = problem_of(asked)[0]
    theta = jnp.asarray(result.parameters)
    maps = asked.maps
    model = np.asarray(jax.jit(lambda own, x: own.maps(x))(problem, theta))
    off = ~np.eye(maps.n_times, dtype=bool)
    mask = maps.mask & off
    sigma = maps.sigma if maps.sigma.ndim != 1 else maps.sigma[:, None, None]
    residual = np.where(mask, (maps.c2 - model) / sigma, np.nan)
    upper = np.triu(np.ones_like(off), 1)
    squares = np.where(mask & upper, residual, 0.0) ** 2
    covariance = np.nan_to_num(result.covariance)
    values, slopes = jax.jit(lambda own, x: _all(own, x))(problem, theta)
    spread = {
        name: np.sqrt(np.maximum(np.einsum("ni,ij,nj->n", s, covariance, s), 0.0))
        for name, s in ((name, np.asarray(s)) for name, s in slopes.items())
    }
    found = {name: (np.asarray(value), spread[name]) for name, value in values.items()}
    contrast, offset = found.pop("contrast"), found.pop("offset")
    return Fitted(
        phi_deg=maps.phi_deg,
        times_s=maps.times_s,
        c2=maps.c2,
        model=model,
        residual=residual,
        mask=mask,
        rates=found,
        contrast=contrast,
        offset=offset,
        chi2=squares.sum(axis=(1, 2)),
        counts=(mask & upper).sum(axis=(1, 2)),
    )


def _all(problem: Any, theta: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rates and scaling, and their slopes."""

    def both(x: Any) -> dict[str, Any]:
        contrast, offset = problem.scales(x)
        return {**problem.rates(x), "contrast": contrast, "offset": offset}

    return both(theta), jax.jacfwd(both)(theta)


def autocorrelation(residual: Float[np.ndarray, "n_phi N N"], longest: int = 20) -> Float[np.ndarray, " longest"]:
    """Correlation of residuals that are 1, 2, … frames apart along the rows, over pairs i < j that both count.

    Independent points have 0 ± 1/√n. Points of one row share a frame, so measured maps do not.

    Checked: tests/unit/xpcs/api/test_xpcs_fitted.py: white noise, and noise of a frame.
    """
    n = residual.shape[-1]
    upper = np.triu(np.ones((n, n), bool), 1)
    r = np.where(upper, residual, np.nan)
    mean, variance = np.nanmean(r), np.nanvar(r)
    found = []
    for lag in range(1, min(longest, n - 2) + 1):
        products = (r[..., lag:] - mean) * (r[..., :-lag] - mean)
        found.append(np.nanmean(products) / variance)
    return np.array(found)
