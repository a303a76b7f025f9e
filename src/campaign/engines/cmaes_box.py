"""The unit cube in which `cmaes` searches, and where it lies in u."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.engines.cmaes_cloud import mirrored
from campaign.engines.derivative import scale_of_u
from campaign.engines.objective import box
from campaign.errors import InvalidValue
from campaign.problem.target import Target


class Box(NamedTuple):
    """Finite bounds of u."""

    low: Float[Array, " d"]
    high: Float[Array, " d"]

    @classmethod
    def of(cls, target: Target, objective: str, reach: float) -> Box:
        """Those of the target (of a posterior: where its priors have a density); start ± `reach` where there are none.

        Raises:
            InvalidValue: a bound is infinite, and `reach` is 0.
        """
        low, high = box(target, objective)
        if reach == 0.0:
            _require_bounds(target)
            return cls(low, high)
        start, wide = target.start(), reach * scale_of_u(target)
        return cls(jnp.where(jnp.isfinite(low), low, start - wide), jnp.where(jnp.isfinite(high), high, start + wide))

    def u(self, x: Float[Array, "*n d"]) -> Float[Array, "*n d"]:
        """u of a place in the cube, or of the mirror image of one outside; never outside the bounds by rounding."""
        low, high = (jnp.broadcast_to(bound, x.shape) for bound in self)
        return jnp.clip(low + (high - low) * mirrored(x), low, high)

    def place(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        """Where u is in the cube."""
        return jnp.clip((u - self.low) / (self.high - self.low), 0.0, 1.0)

    def clipped(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        return jnp.clip(u, self.low, self.high)


def _require_bounds(target: Target) -> None:
    bounds = [
        (p.name, p.lower, p.upper)
        for p in target.space.parameters
        if p.transform == "identity" or (p.transform == "log" and not np.isfinite(p.upper))
    ]
    open_ended = [name for name, lower, upper in bounds if not np.isfinite(upper - lower)]
    if open_ended:
        raise InvalidValue(
            f"engine `cmaes` searches a box, and {', '.join(f'`{n}`' for n in open_ended)} has no finite one",
            hint="give the parameters bounds, or set `engine.reach`",
        )
