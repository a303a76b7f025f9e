"""An exponential decay on a drifting background, with synthetic data: every run can have data of its own."""

from __future__ import annotations

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.problem.base import Problem
from campaign.problem.reference.catalogue import DecayOptions, decay_space
from campaign.problem.reference.noise import standard_normals
from campaign.space import ThetaSpace


class Decay(Problem):
    """y(t) = amplitude·exp(−rate·t) + offset + drift·t at n equally spaced times from 0 to `duration`.

    Attributes:
        n: number of data. Static, as the times are the same in all runs of a program.
        duration: last time [s]. Static.
        data: y.
        sigma: error of one y.
    """

    space: ThetaSpace = eqx.field(static=True)
    n: int = eqx.field(static=True)
    duration: float = eqx.field(static=True)
    data: Float[Array, " n"]
    sigma: Float[Array, ""]

    def linear(self) -> tuple[tuple[str, ...], ...]:
        return (("amplitude", "offset", "drift"),)

    def residuals(self, theta: Float[Array, " 4"]) -> Float[Array, " n"]:
        return (self.predict(theta)["signal"] - self.data) / self.sigma

    def predict(self, theta: Float[Array, " 4"]) -> dict[str, Array]:
        time = jnp.linspace(0.0, self.duration, self.n, dtype=theta.dtype)
        return {"signal": theta[0] * jnp.exp(-theta[1] * time) + theta[2] + theta[3] * time}

    def derived(self, theta: Float[Array, " 4"]) -> dict[str, Array]:
        return {"half_life": jnp.log(2.0) / theta[1]}

    def coordinates(self) -> dict[str, dict[str, Array]]:
        return {"signal": {"time": jnp.linspace(0.0, self.duration, self.n)}}

    def units(self) -> dict[str, str]:
        return {"half_life": "s", "time": "s"}


def build(options: DecayOptions) -> Decay:
    many = build_many(options, {"data_seed": np.array([options.data_seed])})
    return Decay(many.space, many.n, many.duration, many.data[0], many.sigma[0])


def build_many(options: DecayOptions, columns: Mapping[str, np.ndarray]) -> Decay:
    """The problems of many runs at once; `data` and `sigma` have a leading run axis.

    The data of a run depend on its own options only, never on its neighbours.
    """
    n_runs = len(next(iter(columns.values()))) if columns else 1

    def column(name: str) -> np.ndarray:
        return np.asarray(columns.get(name, getattr(options, name)), np.float64).reshape(-1, 1)

    time = np.linspace(0.0, options.duration, options.n)
    signal = column("amplitude") * np.exp(-column("rate") * time) + column("offset") + column("drift") * time
    seeds = np.broadcast_to(np.asarray(columns.get("data_seed", options.data_seed)), n_runs)
    data = standard_normals(seeds, options.n)
    data *= column("sigma")
    data += signal
    sigma = np.ascontiguousarray(np.broadcast_to(column("sigma")[:, 0], n_runs))
    return Decay(decay_space(options), options.n, options.duration, jnp.asarray(data), jnp.asarray(sigma))
