"""Separable problems with known answers: groups of curves that share rates and have amplitudes of their own."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace


def decays(rates, t):
    """Columns exp(−rate t), and 1."""
    return [jnp.exp(-rate * t) for rate in rates] + [jnp.ones_like(t)]


class Curves(Problem):
    """r_k = (Σ_j c_kj φ_j(rates, t) − y_k)/σ for K curves; parameters: rates, then the amplitudes curve by curve."""

    space: ThetaSpace = eqx.field(static=True)
    t: jax.Array
    y: jax.Array  # (K, n)
    sigma: float = eqx.field(static=True)
    n_rates: int = eqx.field(static=True)
    width: int = eqx.field(static=True)
    absolute: bool = eqx.field(static=True, default=True)
    is_linear: bool = eqx.field(static=True, default=True)

    @property
    def absolute_sigma(self):  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.absolute

    def linear(self):
        k = self.y.shape[0]
        return tuple(tuple(f"c{i}[{j}]" for j in range(self.width)) for i in range(k)) if self.is_linear else ()

    def model(self, theta):
        amplitudes = theta[self.n_rates :].reshape(-1, self.width)
        columns = decays([theta[i] for i in range(self.n_rates)], self.t)
        return sum(amplitudes[:, j, None] * columns[j][None, :] for j in range(self.width))

    def residuals(self, theta):
        return ((self.model(theta) - self.y) / self.sigma).ravel()


def space_of(rates, k, width, *, lower=-np.inf, upper=np.inf, start=0.0, rate_lower=-np.inf):
    own = [Parameter(name=f"rate{i}", initial=r, scale=0.1, lower=rate_lower) for i, r in enumerate(rates)]
    lower, upper = np.broadcast_to(lower, (k, width)), np.broadcast_to(upper, (k, width))
    amplitudes = [
        Parameter(
            name=f"c{i}[{j}]",
            initial=float(np.clip(start, lower[i, j], upper[i, j])),
            scale=1.0,
            lower=float(lower[i, j]),
            upper=float(upper[i, j]),
        )
        for i in range(k)
        for j in range(width)
    ]
    return ThetaSpace(tuple(own + amplitudes))


def made(
    truth, amplitudes, *, start, n=60, sigma=0.02, seed=1, outliers=0, absolute=True, start_of_linear=0.0, **bounds
):
    """Curves simulated from rates and amplitudes (K, m)."""
    amplitudes = np.asarray(amplitudes, float)
    k, m = amplitudes.shape
    rng = np.random.default_rng(seed)
    t = np.linspace(0.0, 5.0, n)
    columns = np.stack([np.exp(-r * t) for r in truth] + [np.ones(n)])[:m]
    y = amplitudes @ columns + sigma * rng.standard_normal((k, n))
    for i in range(k):
        y[i, rng.choice(n, outliers, replace=False)] += 0.5
    space = space_of(start, k, m, start=start_of_linear, **bounds)
    return Curves(space, jnp.asarray(t), jnp.asarray(y), sigma, len(truth), m, absolute)


class ByRows(Curves):
    """The same, by row blocks."""

    @property
    def n_residuals(self):
        return self.y.size

    def residual_rows(self, theta, start, size):
        rows = start + jnp.arange(size)
        group, at = rows // self.t.shape[0], rows % self.t.shape[0]
        amplitudes = theta[self.n_rates :].reshape(-1, self.width)[group]
        t = self.t[at]
        columns = [jnp.exp(-theta[i] * t) for i in range(self.n_rates)] + [jnp.ones_like(t)]
        model = sum(amplitudes[:, j] * columns[j] for j in range(self.width))
        return (model - jax.lax.dynamic_slice_in_dim(self.y.ravel(), start, size)) / self.sigma


def by_rows(problem):
    """Those curves by row blocks."""
    return ByRows(problem.space, problem.t, problem.y, problem.sigma, problem.n_rates, problem.width)


class ByColumns(ByRows):
    """By the columns of its amplitudes; a curve is one or several of the `n_stretches`."""

    n_stretches: int = eqx.field(static=True, default=1)

    def linear_columns(self, theta, start, size):
        parts = self.n_stretches // self.y.shape[0]
        times = jnp.tile(self.t.reshape(parts, -1), (self.y.shape[0], 1))
        t, y = (
            jax.lax.dynamic_slice_in_dim(own, start, size, 1) for own in (times, self.y.reshape(self.n_stretches, -1))
        )
        columns = decays([theta[i] for i in range(self.n_rates)], t)[: self.width]
        return jnp.stack(columns, axis=1) / self.sigma, -y / self.sigma


def by_columns(problem, parts=1):
    """Those curves by columns, each curve in so many stretches."""
    own = (problem.space, problem.t, problem.y, problem.sigma, problem.n_rates, problem.width)
    return ByColumns(*own, n_stretches=parts * problem.y.shape[0])
