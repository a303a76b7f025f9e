"""Synthetic data: the model's own output at parameters drawn from the prior, with the noise of the observations.

Everything follows from a number b ≥ 1, whoever computes it: truth and noise come from generators seeded with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Float

from campaign.science import InvalidValue, ThetaSpace
from campaign_climate.model.compared import Compared

_TRUTH, _NOISE = 1, 2  # what a generator is for


def truth(space: ThetaSpace, number: int) -> dict[str, float]:
    """The parameters behind data set `number`: a draw from the prior where there is one, else the default.

    Raises:
        InvalidValue: no parameter has a prior.
    """
    drawn = [parameter for parameter in space.parameters if parameter.prior is not None]
    if not drawn:
        raise InvalidValue("synthetic data need `priors` to draw their parameters from", hint='"priors": {…}')
    unit = np.random.default_rng([number, _TRUTH]).random(len(drawn))
    values = {p.name: p.initial for p in space.parameters}
    for parameter, u in zip(drawn, unit, strict=True):
        prior = parameter.prior
        values[parameter.name] = float(np.clip(prior.ppf(u), parameter.lower, parameter.upper))  # pyright: ignore
    return values


def synthetic_values(
    space: ThetaSpace,
    compared: Sequence[Compared],
    model: Callable[[jax.Array], Mapping[str, jax.Array]],
    numbers: np.ndarray,
) -> tuple[Float[np.ndarray, "n N"], ...]:
    """Anomalies of every variable for data sets `numbers` (n,), each (n, N).

    Args:
        model: theta → the model's values where each variable was observed.
    """
    thetas = np.stack([space.theta(truth(space, int(number))) for number in numbers])
    models = jax.jit(jax.vmap(model))(thetas)
    rngs = [np.random.default_rng([int(number), _NOISE]) for number in numbers]
    found = []
    for one in compared:
        noise = np.stack([coloured(one, rng.standard_normal(len(one.values))) for rng in rngs])
        found.append(one.anomalies(np.asarray(models[one.variable]) + noise))
    return tuple(found)


def coloured(compared: Compared, white: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Errors whose residuals are `white`: the inverse of `Compared.residuals` without a reference period."""
    if compared.whitening is not None:
        e = np.linalg.solve(np.asarray(compared.whitening), white)
    elif compared.memory is None:
        e = white
    else:
        phi, e = np.asarray(compared.memory), np.zeros(len(white))
        for i in range(len(white)):
            e[i] = phi[i] * e[i - 1] + np.sqrt(1.0 - phi[i] ** 2) * white[i]
    return np.asarray(compared.sigma) * e
