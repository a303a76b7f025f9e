"""How far a descent has come: its best loss, whether it has stopped, converged or run away, and what to say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from campaign.engines.base import Outcome

_AWAY, _TIMES = 10.0, 5  # a loss so much above the first one, so often in turn, is a run that has gone
SHOWN = 1e3  # times `tol`: what may be left to gain where a run stands still and counts as converged
_ROUNDING = 16.0  # eps of the loss: smaller gains are rounding


class Trouble(IntEnum):
    """What went wrong, in which coordinate."""

    NONE = 0
    LOSS = 1
    GRADIENT = 2
    RATE = 3
    FLAT = 4
    FLOORED = 5


_SAID = {
    Trouble.LOSS: "the loss is not finite there",
    Trouble.GRADIENT: "the gradient by `{}` is not finite: see the model there, or start elsewhere",
    Trouble.RATE: "the last step moved `{}` the farthest: lower `base_lr`, or set `max_step`",
    Trouble.FLAT: "no parameter changes the loss",
    Trouble.FLOORED: "the loss hardly depends on `{}`: its curvature was raised to the floor",
}


class Progress(NamedTuple):
    """How far a run has come.

    Attributes:
        n: evaluations done.
        first: loss at the start.
        best, best_step: the lowest loss, and when.
        mark, mark_step: the loss from which the next gain of `ftol` counts, and when it was reached.
        n_high: steps in turn with a loss far above the first.
        left: ½ Σ g²/curvature, what is left to gain, at the last finite point.
        trouble, where: code of `Trouble` and a coordinate.
        outcome: code of `Outcome`.
    """

    n: Int[Array, ""]
    first: Float[Array, ""]
    best: Float[Array, ""]
    best_step: Int[Array, ""]
    mark: Float[Array, ""]
    mark_step: Int[Array, ""]
    n_high: Int[Array, ""]
    left: Float[Array, ""]
    trouble: Int[Array, ""]
    where: Int[Array, ""]
    outcome: Int[Array, ""]


class Seen(NamedTuple):
    """What a step finds at a point.

    Attributes:
        value, slope: loss and gradient.
        left: what is left to gain there.
        step: how far each coordinate came to get there, in typical changes.
        is_flat: no curvature anywhere.
        is_floored: coordinates without curvature of their own.
    """

    value: Float[Array, ""]
    slope: Float[Array, " d"]
    left: Float[Array, ""]
    step: Float[Array, " d"]
    is_flat: Bool[Array, ""]
    is_floored: Bool[Array, " d"]


class Limits(NamedTuple):
    """When a run ends: see `DescentOptions`."""

    tol: Float[Array, ""]
    ftol: Float[Array, ""]
    patience: int


def at_start(dtype) -> Progress:
    infinite, zero = jnp.full((), jnp.inf, dtype), jnp.zeros((), jnp.int32)
    return Progress(zero, infinite, infinite, zero, infinite, zero, zero, infinite, zero, zero, zero)


def is_finite(seen: Seen) -> Bool[Array, ""]:
    return jnp.isfinite(seen.value) & jnp.all(jnp.isfinite(seen.slope))


def after(before: Progress, seen: Seen, limits: Limits) -> Progress:
    """Progress at a point.

    `converged` where at most `tol` is left to gain, or where `patience` steps gained less than `ftol` and at most
    1000 `tol` is left; `stalled` where they gained nothing and more is left, or nothing changes the loss; `diverged`
    where loss or gradient are not finite after the start, or the loss was 5 times in turn more than
    10·max(1, |loss at the start|) above that at the start; `nonfinite` where the start has no loss or gradient.
    """
    finite, is_first = is_finite(seen), before.n == 0
    first = jnp.where(is_first, seen.value, before.first)
    is_best = finite & (seen.value < before.best)
    best = jnp.where(is_best, seen.value, before.best)
    rounding = _ROUNDING * jnp.finfo(best.dtype).eps * jnp.abs(best)
    has_gained = is_first | (best < before.mark - jnp.maximum(limits.ftol, rounding))
    mark_step = jnp.where(has_gained, before.n, before.mark_step)
    is_high = ~is_first & (seen.value > first + _AWAY * jnp.maximum(1.0, jnp.abs(first)))
    n_high = jnp.where(is_high, before.n_high + 1, 0)
    left = jnp.where(finite, seen.left, before.left)

    stands = before.n - mark_step >= limits.patience
    converged = finite & ~seen.is_flat & ((left < limits.tol) | (stands & (left < SHOWN * limits.tol)))
    is_gone = ~finite | (n_high >= _TIMES)
    ended = jnp.where(
        is_gone,
        jnp.where(is_first, Outcome.NONFINITE, Outcome.DIVERGED),
        jnp.where(converged, Outcome.CONVERGED, jnp.where(stands | seen.is_flat, Outcome.STALLED, Outcome.RUNNING)),
    )
    bad_slope, has_loss = ~jnp.isfinite(seen.slope), jnp.isfinite(seen.value)
    trouble = jnp.where(
        is_first & ~finite,
        jnp.where(has_loss, Trouble.GRADIENT, Trouble.LOSS),
        jnp.where(
            is_gone,
            jnp.where(has_loss & jnp.any(bad_slope), Trouble.GRADIENT, Trouble.RATE),
            jnp.where(seen.is_flat, Trouble.FLAT, jnp.where(jnp.any(seen.is_floored), Trouble.FLOORED, Trouble.NONE)),
        ),
    )
    farthest = jnp.argmax(jnp.where(jnp.isfinite(seen.step), jnp.abs(seen.step), jnp.inf))
    where = jnp.where(
        trouble == Trouble.GRADIENT,
        jnp.argmax(bad_slope),
        jnp.where(trouble == Trouble.FLOORED, jnp.argmax(seen.is_floored), farthest),
    )
    return Progress(
        n=before.n + 1,
        first=first,
        best=best,
        best_step=jnp.where(is_best, before.n, before.best_step),
        mark=jnp.where(has_gained, best, before.mark),
        mark_step=mark_step,
        n_high=n_high.astype(jnp.int32),
        left=left,
        trouble=trouble.astype(jnp.int32),
        where=where.astype(jnp.int32),
        outcome=ended.astype(jnp.int32),
    )


def metrics_of(progress: Progress) -> dict[str, Array]:
    """What a summary says of it."""
    return {
        "loss_best": progress.best,
        "best_step": progress.best_step,
        "left_to_gain": progress.left,
        "trouble": progress.trouble,
        "trouble_at": progress.where,
    }


def notes_of(metrics: Mapping[str, np.ndarray], names: Sequence[str]) -> list[str]:
    """What the codes of `Trouble` say, with the name of the parameter."""

    def text(code: float, where: float) -> str:
        said = _SAID.get(Trouble(int(code)), "")
        return said.format(names[int(where)] if int(where) < len(names) else f"parameter {int(where)}")

    return [text(code, where) for code, where in zip(metrics["trouble"], metrics["trouble_at"], strict=True)]
