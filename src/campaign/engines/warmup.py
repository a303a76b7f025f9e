"""How chains tune themselves before they count: step size by dual averaging, mass matrix by windows, as Stan does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from blackjax.adaptation.mass_matrix import welford_algorithm
from blackjax.adaptation.staged_adaptation import build_schedule
from blackjax.adaptation.step_size import dual_averaging_adaptation
from jaxtyping import Array, Float, Int

_PRIOR_DRAWS = 5.0  # Stan's weight of the regularised covariance of a window, in draws
_SHRUNK = 1e-3  # what that covariance is drawn to, in squared typical changes of the parameters


class Tuning(NamedTuple):
    """What one chain learns while it warms up.

    Attributes:
        step: dual averaging of the step size.
        moments: of the draws of the current window.
        inverse_mass: the metric, (d,) or (d, d), in units of typical changes of u.
    """

    step: Any
    moments: Any
    inverse_mass: Array


@dataclass(frozen=True)
class Warmup:
    """The first `n` draws of a chain.

    Attributes:
        n: draws.
        target_accept: acceptance rate that the step size is tuned to.
        is_dense: whether the mass matrix is.

    Source: Hoffman & Gelman 2014, JMLR 15, 1593, sec. 3.2.1; Stan Reference Manual, "HMC algorithm parameters".
    """

    n: int
    target_accept: Any
    is_dense: bool

    def begin(self, inverse_mass: Array) -> Tuning:
        """Before the first draw, with a step size of one typical change."""
        start, _, _ = dual_averaging_adaptation(self.target_accept)
        one: Any = jnp.asarray(1.0, inverse_mass.dtype)
        tuning = Tuning(start(one), self._moments()[0](inverse_mass.shape[0]), inverse_mass)
        # blackjax begins with JAX's default float, whatever the precision of the chain
        return jax.tree.map(lambda x: jnp.asarray(x, one.dtype if jnp.result_type(x).kind == "f" else None), tuning)

    def step_size(self, tuning: Tuning, k: Int[Array, ""]) -> Array:
        """Of draw k: as it is tuned; after warm-up its average."""
        return jnp.exp(jnp.where(k >= self.n, tuning.step.log_step_size_avg, tuning.step.log_step_size))

    def after(self, tuning: Tuning, v: Float[Array, " d"], rate: Float[Array, ""], k: Int[Array, ""]) -> Tuning:
        """What a chain has learnt when draw k went to v with this acceptance rate."""
        restart, improved, average = dual_averaging_adaptation(self.target_accept)
        fresh, extended, moments_of = self._moments()
        is_slow, is_end = _schedule(self.n)
        given: Any = rate
        step = improved(tuning.step, given)
        moments = jax.tree.map(
            lambda new, old: jnp.where(is_slow[k], new, old), extended(tuning.moments, v), tuning.moments
        )
        covariance, n, _ = moments_of(moments)
        shrunk = jnp.eye(v.shape[0], dtype=v.dtype) if self.is_dense else jnp.ones_like(v)
        inverse_mass = (n * covariance + _PRIOR_DRAWS * _SHRUNK * shrunk) / (n + _PRIOR_DRAWS)
        ended = Tuning(restart(average(step)), fresh(v.shape[0]), inverse_mass)
        going = Tuning(step, moments, tuning.inverse_mass)
        return jax.tree.map(lambda a, b, old: jnp.where(is_end[k], a, b).astype(old.dtype), ended, going, tuning)

    def _moments(self) -> tuple[Any, Any, Any]:
        return welford_algorithm(not self.is_dense)


def _schedule(n: int) -> tuple[Array, Array]:
    """Of each draw of the warm-up: whether the metric learns from it, and whether a window ends with it."""
    with jax.ensure_compile_time_eval():
        plan = np.asarray(build_schedule(max(n, 1)))
    return jnp.asarray(plan[:, 0] == 1), jnp.asarray(plan[:, 1] == 1)
