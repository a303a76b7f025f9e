"""Evaluation: the model once, where the run starts. For forward ensembles and predictions from an earlier stage."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from campaign.engines.base import AbstractEngine, Info, Outcome, Result
from campaign.engines.catalogue import EvaluateOptions
from campaign.problem.target import Target


class Evaluated(NamedTuple):
    """State: whether the one step is done, and what it found."""

    is_done: Bool[Array, ""]
    loss: Float[Array, ""]
    predictions: dict[str, Array]


class Evaluate(AbstractEngine):
    """Predictions and loss at the start. Nothing moves and nothing is estimated, so there is no stderr.

    Result: theta is the start; loss −ln L where the problem has data, else 0; ``arrays`` are ``problem.predict``.
    The outcome is `NONFINITE` where the loss or a prediction is not finite; the summary's ``nonfinite`` says which.

    Checked: tests/oracle/test_evaluate.py against the model's closed form.
    """

    max_steps: int = eqx.field(static=True, default=1)
    chunk_steps: int = eqx.field(static=True, default=1)
    asks_start_only: ClassVar[bool] = True

    def init(self, target: Target, key: PRNGKeyArray) -> Evaluated:
        shapes = jax.eval_shape(target.predict_at, target.start_theta())
        return Evaluated(
            is_done=jnp.zeros((), bool),
            loss=jnp.zeros((), target.base.dtype),
            predictions=jax.tree.map(_unknown, shapes),
        )

    def step(self, target: Target, state: Evaluated) -> tuple[Evaluated, Info]:
        theta = target.start_theta()
        loss = -target.log_likelihood_at(theta) if target.has_likelihood else state.loss
        predictions = {name: jnp.asarray(values) for name, values in target.predict_at(theta).items()}
        return Evaluated(jnp.ones((), bool), loss, predictions), {"loss": loss, "theta": theta}

    def outcome(self, state: Evaluated) -> Int[Array, ""]:
        finite = [jnp.all(jnp.isfinite(values)) for values in (state.loss, *state.predictions.values())]
        done = jnp.where(jnp.all(jnp.stack(finite)), Outcome.CONVERGED, Outcome.NONFINITE)
        return jnp.where(state.is_done, done, Outcome.RUNNING)

    def finish(self, target: Target, state: Evaluated) -> Result:
        return Result.of(target.start_theta(), state.loss, arrays=state.predictions)


def _unknown(shape: jax.ShapeDtypeStruct) -> Array:
    """A prediction before it is made."""
    return jnp.full(shape.shape, jnp.nan if jnp.issubdtype(shape.dtype, jnp.inexact) else 0, shape.dtype)


def build(options: EvaluateOptions) -> Evaluate:
    return Evaluate()
