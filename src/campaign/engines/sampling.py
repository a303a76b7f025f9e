"""What samplers share: the density that they move in, why a point has none, random keys that can be kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from campaign.problem.target import Target

REASONS = ("outside", "nan", "infinite")  # why a point has no density: bounds and prior, or what the model gave there
FAILED_NOTE = 0.1  # part of the model evaluations that may fail before it is said


def threefry(key: PRNGKeyArray) -> PRNGKeyArray:
    """A threefry key from any key, so that its raw words have one shape everywhere."""
    return jax.random.wrap_key_data(jax.random.bits(key, (2,), jnp.uint32), impl="threefry2x32")


def judged_density(target: Target) -> Callable[[Float[Array, " d"]], tuple[Float[Array, ""], Int[Array, " 3"]]]:
    """u → ln posterior density in u, and which of `REASONS` it has for being −inf, as three zeros or ones.

    It is −inf also where the posterior is +inf or not a number, so that no walker is ever stuck there.
    """

    def density(u: Float[Array, " d"]) -> tuple[Array, Array]:
        prior, likelihood = target.posterior_parts(u)
        is_outside = ~jnp.isfinite(prior)
        value = (likelihood + prior) + target.log_jacobian(u)
        reasons = jnp.stack([is_outside, ~is_outside & jnp.isnan(likelihood), ~is_outside & jnp.isinf(likelihood)])
        return jnp.where(~is_outside & (value < jnp.inf), value, -jnp.inf), reasons.astype(jnp.int32)

    return density


def density(target: Target) -> Callable[[Float[Array, " d"]], Float[Array, ""]]:
    """u → ln posterior density in u."""
    judged = judged_density(target)
    return lambda u: judged(u)[0]


def best_so_far(
    theta: Float[Array, "W d"], log_prob: Float[Array, " W"], best: Float[Array, " d"], best_log_prob: Float[Array, ""]
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """theta of the highest posterior density that was recorded, and that density, after one more step."""
    top = jnp.argmax(log_prob)
    is_better = log_prob[top] > best_log_prob
    return jnp.where(is_better, theta[top], best), jnp.where(is_better, log_prob[top], best_log_prob)


def failure_metrics(failures: Int[Array, " 3"]) -> dict[str, Array]:
    """How many proposals had no density, by reason."""
    return {f"rejected_{reason}": failures[i] for i, reason in enumerate(REASONS)}


def failure_notes(metrics: Mapping[str, np.ndarray]) -> list[str]:
    """What to say of each run whose model failed at more than a tenth of the points inside the prior; else ""."""
    texts = []
    outside, nan, infinite = (metrics[f"rejected_{reason}"].tolist() for reason in REASONS)
    for k, n in enumerate(metrics["n_proposals"].tolist()):
        asked, failed = max(n - outside[k], 1), nan[k] + infinite[k]
        texts.append(
            f"the model failed at {failed / asked:.0%} of the proposals inside the prior ({nan[k]:.0f} not a number, "
            f"{infinite[k]:.0f} infinite): the posterior is zero there"
            if failed > FAILED_NOTE * asked
            else ""
        )
    return texts
