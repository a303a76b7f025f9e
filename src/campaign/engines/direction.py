"""Which way a descent goes: along the gradient with momentum, or as a chain of optax transformations says."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from campaign.engines.chains import transform_of
from campaign.engines.rates import Rates


class Slope(NamedTuple):
    """What a direction is given.

    Attributes:
        gradient, u: at the point.
        rates: there.
        base_lr: of this step, with the schedule.
        factor: the schedule alone; None where there is none.
    """

    gradient: Float[Array, " d"]
    u: Float[Array, " d"]
    rates: Rates
    base_lr: Float[Array, ""]
    factor: Float[Array, ""] | None


class Direction(eqx.Module):
    """How a step follows from gradient and rates."""

    @abstractmethod
    def init(self, u: Float[Array, " d"]) -> Any:
        """State before the first step."""

    @abstractmethod
    def move(self, slope: Slope, state: Any) -> tuple[Float[Array, " d"], Any]:
        """What is taken from u, and the next state."""


class Momentum(Direction):
    """v ← lr ⊙ g + m v; the step is v, or lr ⊙ g + m v by Nesterov.

    Where rates never change, v is of gradients and the rates come last: the same, and the bits of ``optax.sgd``.

    Attributes:
        momentum: m.
        unbounded: +∞, known only when the program runs: it keeps a compiler from joining a product and a sum.
        nesterov, is_fixed: static.
    """

    momentum: Float[Array, ""] = eqx.field(converter=jnp.asarray)
    nesterov: bool = eqx.field(static=True)
    is_fixed: bool = eqx.field(static=True)
    unbounded: Float[Array, ""] = eqx.field(converter=jnp.asarray, default=jnp.inf)

    def init(self, u: Float[Array, " d"]) -> Any:
        return jnp.zeros_like(u)

    def move(self, slope: Slope, state: Any) -> tuple[Float[Array, " d"], Any]:
        rate = slope.rates.lr_vec
        own = slope.gradient if self.is_fixed else self._product(rate, slope.gradient)
        velocity = own + self._product(self.momentum, state)
        going = own + self._product(self.momentum, velocity) if self.nesterov else velocity
        step = rate * going if self.is_fixed else going
        return step if slope.factor is None else slope.factor * step, velocity

    def _product(self, a: Array, b: Array) -> Array:
        return jnp.clip(a * b, -self.unbounded, self.unbounded)


class Chain(Direction):
    """T of optax in coordinates x = u/√P: the step is base_lr · √P ⊙ T(√P ⊙ g), P the preconditioner.

    Attributes:
        chain: its transformations as JSON text. Static.
    """

    chain: str = eqx.field(static=True)

    def init(self, u: Float[Array, " d"]) -> Any:
        return transform_of(self.chain).init(u)

    def move(self, slope: Slope, state: Any) -> tuple[Float[Array, " d"], Any]:
        width = jnp.sqrt(slope.rates.precond)
        update, state = transform_of(self.chain).update(width * slope.gradient, state, slope.u / width)
        return slope.base_lr * (width * update), state  # pyright: ignore[reportOperatorIssue]
