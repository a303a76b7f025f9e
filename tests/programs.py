"""Programs of tests: compiled as campaign compiles an engine, in half the time that `jax.jit` takes by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from campaign.engines.outcome import Outcome
from campaign.engines.xla import compile_lowered, settled


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Arrays among the arguments are traced, everything else is compiled in."""
    programs: dict[Any, Callable[..., Any]] = {}

    def call(*arguments: Any) -> Any:
        arrays, rest = eqx.partition(arguments, lambda leaf: isinstance(leaf, jax.Array | np.ndarray | np.generic))
        leaves, structure = jax.tree.flatten(arrays)
        shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        fixed, fixed_structure = jax.tree.flatten(rest)
        key = (structure, shapes, tuple(fixed), fixed_structure)
        if key not in programs:
            with settled():
                lowered = jax.jit(lambda traced: function(*eqx.combine(traced, rest))).lower(arrays)
            programs[key] = compile_lowered(lowered)
        return programs[key](arrays)

    return call


class Ended(NamedTuple):
    """How one run ended."""

    outcome: int
    n_steps: int
    result: Any


def ended(engine: Any, target: Any, key: Any = None) -> Ended:
    """One run, from its start to the end that the engine finds, or to its last step."""

    def run(key: Any) -> tuple[Any, ...]:
        state, n = whole_run(engine, target, key)
        return engine.outcome(state), n, engine.finish(target, state)

    outcome, n, result = compiled(run)(jax.random.key(0) if key is None else key)
    return Ended(int(outcome), int(n), jax.tree.map(np.asarray, result))


def whole_run(engine: Any, target: Any, key: Any = None) -> tuple[Any, Any]:
    """State of a run at its end, and its steps; traceable."""
    return jax.lax.while_loop(
        lambda carry: (engine.outcome(carry[0]) == Outcome.RUNNING) & (carry[1] < engine.max_steps),
        lambda carry: (engine.step(target, carry[0])[0], carry[1] + 1),
        (engine.init(target, jax.random.key(0) if key is None else key), 0),
    )
