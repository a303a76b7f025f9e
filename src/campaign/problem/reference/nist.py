"""NIST StRD nonlinear regression: real data, hard starts, answers certified to 11 digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.problem.base import Problem
from campaign.problem.reference.catalogue import NistOptions, nist_space
from campaign.problem.reference.nist_data import read_nist
from campaign.space import ThetaSpace

Model = Callable[[Array, Array], Array]  # (b, x) → y; x of shape (n,), or (k, n) with k predictors


def _chwirut(b: Array, x: Array) -> Array:
    return jnp.exp(-b[0] * x) / (b[1] + b[2] * x)


def _danwood(b: Array, x: Array) -> Array:
    return b[0] * x ** b[1]


def _enso(b: Array, x: Array) -> Array:
    year, first, second = 2 * jnp.pi * x / 12, 2 * jnp.pi * x / b[3], 2 * jnp.pi * x / b[6]
    return (
        b[0]
        + (b[1] * jnp.cos(year) + b[2] * jnp.sin(year))
        + (b[4] * jnp.cos(first) + b[5] * jnp.sin(first))
        + (b[7] * jnp.cos(second) + b[8] * jnp.sin(second))
    )


def _gauss(b: Array, x: Array) -> Array:
    peak = b[2] * jnp.exp(-((x - b[3]) ** 2) / b[4] ** 2) + b[5] * jnp.exp(-((x - b[6]) ** 2) / b[7] ** 2)
    return b[0] * jnp.exp(-b[1] * x) + peak


def _hahn(b: Array, x: Array) -> Array:
    return (b[0] + x * (b[1] + x * (b[2] + x * b[3]))) / (1 + x * (b[4] + x * (b[5] + x * b[6])))


def _kirby(b: Array, x: Array) -> Array:
    return (b[0] + x * (b[1] + x * b[2])) / (1 + x * (b[3] + x * b[4]))


def _lanczos(b: Array, x: Array) -> Array:
    return b[0] * jnp.exp(-b[1] * x) + b[2] * jnp.exp(-b[3] * x) + b[4] * jnp.exp(-b[5] * x)


def _misra1a(b: Array, x: Array) -> Array:
    return -b[0] * jnp.expm1(-b[1] * x)


def _misra1b(b: Array, x: Array) -> Array:
    return b[0] * (1 - (1 + b[1] * x / 2) ** -2)


def _misra1c(b: Array, x: Array) -> Array:
    return b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5)


def _misra1d(b: Array, x: Array) -> Array:
    return b[0] * b[1] * x / (1 + b[1] * x)


def _nelson(b: Array, x: Array) -> Array:
    return b[0] - b[1] * x[0] * jnp.exp(-b[2] * x[1])


def _rat42(b: Array, x: Array) -> Array:
    return b[0] / (1 + jnp.exp(b[1] - b[2] * x))


def _roszman(b: Array, x: Array) -> Array:
    return b[0] - b[1] * x - jnp.arctan(b[2] / (x - b[3])) / jnp.pi


MODELS: dict[str, Model] = {
    "Chwirut1": _chwirut,
    "Chwirut2": _chwirut,
    "DanWood": _danwood,
    "ENSO": _enso,
    "Gauss1": _gauss,
    "Gauss2": _gauss,
    "Gauss3": _gauss,
    "Hahn1": _hahn,
    "Kirby2": _kirby,
    "Lanczos1": _lanczos,
    "Lanczos3": _lanczos,
    "Misra1a": _misra1a,
    "Misra1b": _misra1b,
    "Misra1c": _misra1c,
    "Misra1d": _misra1d,
    "Nelson": _nelson,
    "Rat42": _rat42,
    "Roszman1": _roszman,
}


class Nist(Problem):
    """r = model(b, x) − y, unweighted: the noise level is estimated from the residuals, as NIST does.

    Attributes:
        model: one of `MODELS`. Static.
        x: predictor, shape (n,), or (k, n) where a data set has k > 1.
        y: response, shape (n,); its logarithm for Nelson, as NIST models that.
    """

    space: ThetaSpace = eqx.field(static=True)
    model: Model = eqx.field(static=True)
    x: Array
    y: Float[Array, " n"]
    absolute_sigma: ClassVar[bool] = False

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " n"]:
        return self.model(theta, self.x) - self.y

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        return {"response": self.model(theta, self.x)}


def build(options: NistOptions) -> Nist:
    data = read_nist(options.dataset)
    x = data.x[0] if len(data.x) == 1 else data.x
    y = jnp.log(data.y) if options.dataset == "Nelson" else jnp.asarray(data.y)
    return Nist(nist_space(options), MODELS[options.dataset], jnp.asarray(x), y)
