"""Evaluation: the model once, where the run starts. For forward ensembles and predictions from an earlier stage."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Info, Outcome, Result
from campaign.engines.catalogue import EvaluateOptions
from campaign.problem.target import Target


class Evaluated(NamedTuple):
    """State: whether the one step is done, and the loss that it found."""

    is_done: Bool[Array, ""]
    loss: Float[Array, ""]


class Evaluate(AbstractEngine):
    """Predictions and loss at the start. Nothing moves and nothing is estimated, so there is no stderr.

    Result: theta is the start; loss −ln L where the problem has data, else 0; ``arrays`` are ``problem.predict``.
    The outcome is `NONFINITE` where the loss is not a number.

    Checked: tests/oracle/test_evaluate.py against the model's closed form.
    """

    max_steps: int = eqx.field(static=True, default=1)
    chunk_steps: int = eqx.field(static=True, default=1)

    def init(self, target: Target, key: PRNGKeyArray) -> Evaluated:
        return Evaluated(is_done=jnp.zeros((), bool), loss=jnp.zeros((), target.base.dtype))

    def step(self, target: Target, state: Evaluated) -> tuple[Evaluated, Info]:
        theta = target.start_theta()
        loss = -target.log_likelihood_at(theta) if target.has_likelihood else state.loss
        return Evaluated(is_done=jnp.ones((), bool), loss=loss), {"loss": loss, "theta": theta}

    def outcome(self, state: Evaluated) -> Int[Array, ""]:
        done = jnp.where(jnp.isfinite(state.loss), Outcome.CONVERGED, Outcome.NONFINITE)
        return jnp.where(state.is_done, done, Outcome.RUNNING)

    def finish(self, target: Target, state: Evaluated) -> Result:
        theta = target.start_theta()
        return Result.of(theta, state.loss, arrays=target.predict_at(theta))


def build(options: EvaluateOptions) -> Evaluate:
    return Evaluate()
