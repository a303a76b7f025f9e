"""What simulated data were made from, and how far runs are from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.problem.base import Problem
from campaign.work.group import Group


def truths(group: Group) -> dict[str, np.ndarray]:
    """What the problems of a group declare as the truth: name → one value a run; nothing where they declare none."""
    problem, n = group.batch.work.target.problem, len(group.rows)
    if type(problem).truth is Problem.truth:
        return {}
    own, shared = eqx.partition(problem, group.batch.is_batched.target.problem)

    def truth(own: Any) -> dict[str, jax.Array]:
        return {name: jnp.asarray(value, float) for name, value in eqx.combine(own, shared).truth().items()}

    found = jax.vmap(truth)(own) if jax.tree.leaves(own) else truth(own)
    lanes = (len(group.batch.words),)
    return {name: np.broadcast_to(np.asarray(value, np.float64), lanes)[:n] for name, value in found.items()}


def against(
    truth: Mapping[str, np.ndarray], names: Sequence[str], initial: np.ndarray, final: np.ndarray
) -> dict[str, Any]:
    """Columns of records: the truth, and of those that are parameters the differences at the start and the end.

    Args:
        truth: name → (n,).
        names: of the parameters.
        initial, final: theta (n, d) of each run.
    """
    if not truth:
        return {}
    places = {name: names.index(name) for name in truth if name in names}
    return {
        "truth": dict(truth),
        "init_delta": {name: initial[: len(final), j] - truth[name] for name, j in places.items()},
        "final_delta": {name: final[:, j] - truth[name] for name, j in places.items()},
    }
