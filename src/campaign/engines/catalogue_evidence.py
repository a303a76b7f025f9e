"""The engine that finds the evidence: its options and where it is built. No JAX."""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field, model_validator

from campaign.errors import InvalidValue
from campaign.registry import EnginePlugin, Options
from campaign.space import Parameter, ThetaSpace
from campaign.space.priors import Prior, bounded

MOST = 2**31 - 1
_CELLS = 4096  # of equal probability; the first and the last are halved again and again towards the tails
_HALVINGS = 28
_A_PARAMETER = 25  # live points, at least


class NestedOptions(Options):
    """Options of `nested`."""

    n_live: int = Field(500, ge=8, le=MOST, description="live points: errors of ln Z fall as 1/√n_live")
    n_delete: int | None = Field(
        None, ge=1, le=MOST, description="points that die together in a step; null: a tenth of the live points"
    )
    n_inner: int | None = Field(
        None, ge=1, le=MOST, description="slice moves that make a new point; null: twice the parameters, at least 10"
    )
    dlogz: float = Field(
        1e-3, gt=0, lt=1, description="ends when the live points hold less than this fraction of the evidence so far"
    )
    draws: int = Field(1000, ge=1, le=MOST, description="draws from the posterior that are kept, all of one weight")
    max_steps: int = Field(5000, ge=1, le=MOST, description="most steps: each lets `n_delete` points die")
    chunk_steps: int = Field(10, ge=1, le=MOST, description="steps between two writes of trace and checkpoint")

    @property
    def dying(self) -> int:
        """Points that die in a step."""
        return max(1, self.n_live // 10) if self.n_delete is None else self.n_delete

    @model_validator(mode="after")
    def _some_are_left(self) -> NestedOptions:
        if 2 * self.dying > self.n_live:
            raise ValueError(
                f"n_delete {self.dying} is more than half of {self.n_live} live points: new ones need some"
            )
        return self


def distribution_of(parameter: Parameter) -> Prior:
    """The normalised prior of a parameter between its bounds; uniform between them where it names none.

    Raises:
        InvalidValue: there is neither a prior nor two finite bounds.
    """
    low, high = parameter.lower, parameter.upper
    if parameter.prior is None:
        if not (math.isfinite(low) and math.isfinite(high)):
            raise InvalidValue(
                f"engine `nested`: parameter `{parameter.name}` has no prior and no two finite bounds: an evidence "
                "needs a prior with a volume",
                hint='give it a prior, such as {"normal": [mean, sd]}, or bounds, or fix it',
            )
        return Prior("uniform", (low, high))
    try:
        return bounded(parameter.prior, low, high)
    except InvalidValue as error:
        raise InvalidValue(f"engine `nested`: parameter `{parameter.name}`: {error.message}", hint=error.hint) from None


def probability_levels() -> np.ndarray:
    """Cumulative probabilities from 0 to 1: 4,096 equal cells, the outer ones halved down to 10⁻¹²."""
    inner = np.arange(1, _CELLS) / _CELLS
    tail = 0.5 ** np.arange(_HALVINGS, 0, -1) / _CELLS
    return np.concatenate([[0.0], tail, inner, 1.0 - tail[::-1], [1.0]])


def quantiles_of(parameter: Parameter) -> np.ndarray:
    """Quantiles of a parameter's prior at `probability_levels`; an open tail ends at its last finite level."""
    prior, levels = distribution_of(parameter), probability_levels()
    found = np.asarray(prior.ppf(levels[1:-1]), np.float64)
    ends = [end if math.isfinite(end) else value for end, value in zip(prior.support, found[[0, -1]], strict=True)]
    return np.concatenate([ends[:1], found, ends[1:]])


def require_volume(space: ThetaSpace, n_live: int) -> None:
    """Whether every free parameter has a prior with a volume, and so many live points can span the space.

    Raises:
        InvalidValue: with the parameter, or with the number of live points.
    """
    free = [space[name] for name in space.free_names]
    for parameter in free:
        distribution_of(parameter)
    if n_live < 2 * len(free) + 2:
        raise InvalidValue(
            f"engine `nested`: {n_live} live points are too few for {len(free)} free parameters",
            hint=f"set `engine.n_live` to {_A_PARAMETER * len(free)} or more; {2 * len(free) + 2} is the least",
        )


def check_nested(options: NestedOptions, space: ThetaSpace) -> str | None:
    """What `require_volume` refuses is an error before anything runs; too few live points are worth a word."""
    require_volume(space, options.n_live)
    wanted = _A_PARAMETER * len(space.free_names)
    if options.n_live >= wanted:
        return None
    return f"`nested` wants at least {_A_PARAMETER} live points a parameter: {wanted}, not {options.n_live}"


NESTED = EnginePlugin(
    name="nested",
    version="1",
    options=NestedOptions,
    build="campaign.engines.nested:build",
    records=("loss", "theta", "log_likelihood", "log_likelihood_birth", "log_weight", "log_evidence"),
    check=check_nested,
    description="evidence ln Z and posterior by nested sampling (slice moves, normalised priors)",
    max_block=64,
    steps="max_steps",
    precisions=("float64",),  # blackjax's kernel computes in JAX's default float
)
