"""The image of a binary star as a function of theta."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.science import start_jax
from campaign_optics.model import parameters
from campaign_optics.physics import forward
from campaign_optics.physics.designs import Design, raw_fluxes


@dataclass(frozen=True, slots=True)
class TwoPlaneModel:
    """Pupil and focal plane. Two models of one design and mask are equal, and compile to the same program.

    A model with more planes needs `names` and `predict`, nothing else.
    """

    design: Design
    mask: str = "B"

    @property
    def names(self) -> tuple[str, ...]:
        """Of theta, in its order."""
        return tuple(name for field in parameters.fields(self.design) for name in field.names)

    def predict(self, theta: Float[Array, " d"]) -> Float[Array, "n n"]:
        """Expected electrons in each pixel, [row = y, column = x].

        Star A is at (x, y) + ρ/2 (sin PA, cos PA), star B opposite; A has contrast times the photons of B.
        """
        separation, angle, x, y, log_flux, contrast, plate_scale = theta[:7]
        n, k = len(self.design.primary_noll), len(self.design.secondary_noll)
        angle = jnp.deg2rad(angle)
        half = 0.5 * separation * jnp.stack([jnp.sin(angle), jnp.cos(angle)])
        middle = jnp.stack([x, y])
        return forward.image(
            forward.optics(self.design, self.mask),
            stars=jnp.stack([middle + half, middle - half]),
            fluxes=jnp.stack(raw_fluxes(log_flux, contrast)),
            plate_scale=plate_scale,
            primary_nm=theta[7 : 7 + n],
            secondary_nm=theta[7 + n : 7 + n + k] if k else None,
            background=theta[7 + n + k],
        )


@lru_cache(maxsize=8)
def compiled(model: TwoPlaneModel) -> Callable[[Float[Array | np.ndarray, " d"]], Float[Array, "n n"]]:
    """`predict` of a model, compiled once a process, in float64."""
    start_jax()
    return jax.jit(model.predict)
