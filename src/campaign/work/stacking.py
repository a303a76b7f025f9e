"""Problems and engines of runs of one structure, stacked into the arrays of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from campaign.engines.batch import Batch, Work
from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.problem.target import Target
from campaign.space import ThetaSpace
from campaign.work.group import Group
from campaign.work.model_failures import opened
from campaign.work.recipe import Columns, Recipe
from campaign.work.variants import Variants, filled

# A run alone in its block gets a lane of padding beside it, where its arrays are not larger than this [bytes]: XLA
# takes a loop of one turn apart and compiles its body with what is around it, which gives other last bits.
_MOST_TWICE = 64 << 20


def group_of(
    recipe: Recipe, problems: Variants, engines: Variants, rows: np.ndarray, columns: Columns, run_ids: Sequence[str]
) -> Group:
    """The group of these rows, which share a structure; lanes beyond them repeat the first."""
    capacity = recipe.capacity
    problem, problem_batched = problems.take(rows, capacity)
    if capacity == 1 and _own_bytes(problem, problem_batched) <= _MOST_TWICE:
        capacity = 2
        problem, problem_batched = problems.take(rows, capacity)
    engine, engine_batched = engines.take(rows, capacity)
    recipe.engine.check_precision(recipe.precision)
    one: Problem = problem
    space = one.space.with_free(recipe.free)
    free = space.free_names
    problem, problem_batched = opened(problem, problem_batched, len(rows), capacity, free)
    lanes = np.concatenate([rows, np.repeat(rows[:1], capacity - len(rows))])
    spaces = [own.with_free(recipe.free) for own in problems.spaces(lanes)]
    base = _values([own.theta(dict(recipe.start)) for own in spaces], space.names, "start.", columns, lanes)
    scale = _values([_scales(own, recipe.scale) for own in spaces], free, "scale.", columns, lanes)
    target = Target(problem=problem, base=base, scale=scale, free_names=free)  # pyright: ignore[reportArgumentType]
    target_batched = Target(problem=problem_batched, base=True, scale=True, free_names=free)  # pyright: ignore[reportArgumentType]
    words = np.frombuffer(bytes.fromhex("".join(run_ids[int(i)] for i in lanes)), dtype=">u4").astype(np.uint32)
    words = words.reshape(capacity, 4)
    if recipe.engine.steps is not None:
        words[:, 3] = 0  # the digits of the number of steps: the random numbers of a chain do not depend on its length
    batch = Batch(
        work=_arrays(Work(engine=engine, target=target), recipe.precision),
        is_batched=Work(engine=engine_batched, target=target_batched),
        words=words,
        seed=recipe.seed,
    )
    return Group(rows=rows, batch=batch, space=space, free_names=free)


def _own_bytes(tree: Any, is_batched: Any) -> int:
    """Bytes of the arrays that runs do not share."""
    sizes = jax.tree.map(lambda leaf, is_own: np.asarray(leaf).nbytes if is_own else 0, tree, is_batched)
    return sum(jax.tree.leaves(sizes))


def _arrays(tree: Any, precision: str) -> Any:
    """All leaves as arrays, floating-point numbers in `precision`.

    Raises:
        InvalidValue: a leaf has less precision than that: its digits are lost already.
    """
    float_, complex_ = np.dtype(precision), np.result_type(precision, np.complex64)

    def array(path: Any, leaf: Any) -> Any:
        own = leaf if isinstance(leaf, (np.ndarray, jax.Array)) else jnp.asarray(leaf)
        wanted = {"f": float_, "c": complex_}.get(own.dtype.kind, own.dtype)
        if own.dtype == wanted:
            return own
        if own.dtype.itemsize < wanted.itemsize:
            name = jax.tree_util.keystr(path[1:]).lstrip(".")
            raise InvalidValue(
                f"`{name}` of the problem is {own.dtype}: half of its digits are lost",
                hint=f'make it {wanted} where it is made, or ask for `"precision": "float32"`',
            )
        return own.astype(wanted)

    return jax.tree_util.tree_map_with_path(array, tree)


def _scales(space: ThetaSpace, given: Mapping[str, float]) -> np.ndarray:
    """Typical sizes of the free parameters, where the manifest gives none."""
    own = space.subset(space.free_names)
    wrong = {name: value for name, value in given.items() if not 0 < value < np.inf}
    if wrong:
        raise InvalidValue(f"scales are not positive numbers: {wrong}")
    return np.array([given.get(p.name, p.typical) for p in own.parameters], dtype=np.float64)


def _values(
    base: Sequence[np.ndarray], names: Sequence[str], prefix: str, columns: Columns, lanes: np.ndarray
) -> np.ndarray:
    """`base` (one vector for all, or one a lane) except where a column says otherwise, shape (lanes, len(names))."""
    out = np.broadcast_to(np.stack(base), (len(lanes), len(names))).copy()
    for j, name in enumerate(names):
        column = columns.get(prefix + name)
        if column is not None:
            own = np.asarray(filled(column, np.nan), dtype=np.float64)[lanes]
            out[:, j] = np.where(np.isfinite(own), own, out[:, j])
    return out
