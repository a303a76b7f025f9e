"""Programs of tests: compiled as campaign compiles an engine, in half the time that `jax.jit` takes by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def whole_run(engine: Any, target: Any) -> tuple[Any, Any]:
    """State of a run at its end, and its steps; traceable. Engines without random numbers."""
    return jax.lax.while_loop(
        lambda carry: (engine.outcome(carry[0]) == Outcome.RUNNING) & (carry[1] < engine.max_steps),
        lambda carry: (engine.step(target, carry[0])[0], carry[1] + 1),
        (engine.init(target, jax.random.key(0)), 0),
    )
