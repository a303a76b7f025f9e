"""From plan rows to the arrays of a block: problems and engines are built, stacked, and failures kept apart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from campaign.engines.loop import Batch, Work
from campaign.errors import InvalidValue
from campaign.manifest.options import with_files
from campaign.own_code import Told, told
from campaign.problem.base import Problem
from campaign.problem.target import Target
from campaign.registry import EnginePlugin, ProblemPlugin, load_reference
from campaign.space import ThetaSpace
from campaign.work.gathering import Reader, gathered
from campaign.work.model_failures import opened
from campaign.work.watchdog import BUILDING, BUILDING_ALL, Watchdog

Columns = Mapping[str, Sequence[Any]]
# A run alone in its block gets a lane of padding beside it, where its arrays are not larger than this [bytes]:
# XLA takes a loop of one turn apart and compiles its body with what is around it: other last bits.
_MOST_TWICE = 64 << 20
_MEMBERS = "@members"  # among varying options; the name of none


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to build the runs of a program.

    Attributes:
        problem, engine: plug-ins.
        problem_options, engine_options: the program's resolved options, without `name`, without the varying ones.
        start, scale: values that all runs share.
        free: names of the parameters that move; None is the problem's choice.
        seed: root seed.
        capacity: lanes of a compiled block.
        precision: "float64" or "float32": of every floating-point number of problem and engine.
        every: each so many steps are recorded; chunks of steps are made a multiple of it.
        files: names of data files that stand in options → absolute paths.
        gather: key of the runs that a run reads → what its problem gathers of them; None where it reads none.
        memory: what was built once for all blocks of the program (a recipe lives as long as its process).
    """

    problem: ProblemPlugin
    engine: EnginePlugin
    problem_options: Mapping[str, Any]
    engine_options: Mapping[str, Any]
    start: Mapping[str, float]
    scale: Mapping[str, float]
    free: tuple[str, ...] | None
    seed: int
    capacity: int
    precision: str = "float64"
    every: int = 1
    files: Mapping[str, str] = field(default_factory=dict)
    gather: Reader | None = field(default=None, compare=False, repr=False)
    memory: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs of a block that share a structure: `rows[i]` is the block's row in lane i."""

    rows: np.ndarray
    batch: Batch
    space: ThetaSpace
    free_names: tuple[str, ...]

    def halves(self) -> tuple[Group, ...]:
        """The same runs as groups of half the capacity, for when memory is short."""
        capacity = len(self.batch.words)
        half = (capacity + 1) // 2
        lanes = np.minimum(np.arange(2 * half), capacity - 1)
        parts = (self._part(lanes[:half], self.rows[:half]), self._part(lanes[half:], self.rows[half:]))
        return tuple(part for part in parts if len(part.rows))

    def parted(self) -> tuple[Group, Group]:
        """The same runs as two groups of the same capacity, which need no other program: to find the one at fault."""
        n, capacity = len(self.rows), len(self.batch.words)
        first, second = np.arange(n // 2), np.arange(n // 2, n)

        def part(own: np.ndarray) -> Group:
            return self._part(np.concatenate([own, np.repeat(own[:1], capacity - len(own))]), self.rows[own])

        return part(first), part(second)

    def _part(self, lanes: np.ndarray, rows: np.ndarray) -> Group:
        return replace(self, rows=rows, batch=self.batch.take(lanes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A block ready to run, and the rows that could not be built, each with its reason."""

    groups: tuple[Group, ...]
    failures: Mapping[int, Told]


def build_block(
    recipe: Recipe,
    columns: Columns,
    run_ids: Sequence[str],
    *,
    strict: bool = False,
    watchdog: Watchdog = Watchdog(Path(), None),  # noqa: B008
) -> Built:
    """Build all runs of a block.

    Args:
        recipe: what the runs share.
        columns: what differs: axis path → one value a run, None where the base value holds.
        run_ids: one a run.
        strict: let a plug-in's exception through instead of noting it.
        watchdog: over plug-ins that do not come back.
    """
    n = len(run_ids)
    failures = {i: Told(str(r), "") for i, r in enumerate(columns.get("blocked", ())) if r}
    build = partial(_build_parts, recipe, columns=columns, n=n, failures=failures, strict=strict, watchdog=watchdog)
    problems, engines = build("problem"), build("engine")
    good = [i for i in range(n) if i not in failures]
    kinds = np.stack([problems.kinds(), engines.kinds()], axis=1)[good]
    groups = []
    for kind in np.unique(kinds, axis=0):
        rows = np.array(good)[(kinds == kind).all(axis=1)]
        try:
            groups.append(_assemble(recipe, problems, engines, rows, columns, run_ids))
        except (Exception, SystemExit) as error:
            if strict:
                raise
            failures.update(dict.fromkeys(rows.tolist(), told(error)))
    return Built(groups=tuple(groups), failures=failures)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What was built: distinct objects with an index for each run, or one stacked object for all."""

    distinct: Sequence[Any]
    index: np.ndarray
    is_shared: bool = False
    stacked: Any = None
    template: Any = None

    def kinds(self) -> np.ndarray:
        """A number for each run: runs with the same number share a structure (tree, shapes, types)."""
        if self.stacked is not None or len(self.distinct) <= 1:
            return np.zeros(len(self.index), int)
        seen: dict[Any, int] = {}
        codes = [seen.setdefault(_structure(one), len(seen)) for one in self.distinct]
        return np.array(codes)[self.index]

    def spaces(self, lanes: np.ndarray) -> list[ThetaSpace]:
        """The parameter space of each lane's problem; one for all where the runs share it."""
        if self.stacked is not None:
            return [self.template.space]
        if self.is_shared:
            return [self.distinct[0].space]
        return [self.distinct[int(self.index[lane])].space for lane in lanes]

    def take(self, rows: np.ndarray, capacity: int) -> tuple[Any, Any]:
        """(object for `capacity` lanes, which leaves are batched); lanes beyond `rows` repeat the first."""
        lanes = np.concatenate([rows, np.repeat(rows[:1], capacity - len(rows))])
        if self.stacked is not None:
            batched = jax.tree.map(lambda many, one: np.ndim(many) == np.ndim(one) + 1, self.stacked, self.template)
            part = jax.tree.map(
                lambda many, is_own: np.asarray(many)[lanes] if is_own else np.asarray(many), self.stacked, batched
            )
            return part, batched
        if self.is_shared:
            return jax.tree.map(np.asarray, self.distinct[0]), jax.tree.map(lambda _: False, self.distinct[0])
        first = self.distinct[int(self.index[rows[0]])]
        usable = jax.tree.structure(first)
        flat = {int(k): jax.tree.leaves(self.distinct[k]) for k in np.unique(self.index[lanes])}
        chosen = [int(k) for k in self.index[lanes]]
        leaves = [np.stack([np.asarray(flat[k][j]) for k in chosen]) for j in range(usable.num_leaves)]
        return jax.tree.unflatten(usable, leaves), jax.tree.map(lambda _: True, first)


def _structure(one: Any) -> Any:
    leaves, structure = jax.tree.flatten(one)
    return structure, tuple((np.shape(leaf), getattr(leaf, "dtype", None) or np.result_type(leaf)) for leaf in leaves)


def _build_parts(
    recipe: Recipe, kind: str, *, columns: Columns, n: int, failures: dict[int, Told], strict: bool, watchdog: Watchdog
) -> _Parts:
    """Build each distinct combination of the varying options once; failures are noted for every run that has it."""
    plugin: ProblemPlugin | EnginePlugin = getattr(recipe, kind)
    options: Mapping[str, Any] = getattr(recipe, f"{kind}_options")
    varying = {path.partition(".")[2]: values for path, values in columns.items() if path.startswith(f"{kind}.")}
    build = load_reference(plugin.build)
    fields = plugin.gather if isinstance(plugin, ProblemPlugin) else ()
    if fields:
        varying[_MEMBERS] = columns.get("members", [None] * n)

    def built(values: Mapping[str, Any]) -> Any:
        own = {name: value for name, value in values.items() if name != _MEMBERS}
        made = with_files(plugin.options(**{**options, **own}), recipe.files)
        if fields:
            return build(made, gathered(recipe.problem, recipe.gather, values.get(_MEMBERS)))
        return _aligned(build(made), recipe.every) if kind == "engine" else build(made)

    if not varying and kind in recipe.memory:
        return _Parts((recipe.memory[kind],), np.zeros(n, int), is_shared=True)
    has_hung = watchdog.hang_of(range(n), BUILDING_ALL) is not None
    if varying and isinstance(plugin, ProblemPlugin) and plugin.build_many and not fields and not has_hung:
        with watchdog.over(range(n), BUILDING_ALL):
            parts = _build_many(recipe, plugin, built, options, varying, n, failures)
        if parts is not None:
            return parts
    distinct, index = _build_each(built, varying, n, failures, strict, watchdog)
    if not varying and index.max(initial=-1) == 0 and distinct[0] is not None:
        recipe.memory[kind] = distinct[0]
    return _Parts(distinct, index, is_shared=not varying)


def _build_each(
    built: Callable[[Mapping[str, Any]], Any],
    varying: Columns,
    n: int,
    failures: dict[int, Told],
    strict: bool,
    watchdog: Watchdog,
) -> tuple[list[Any], np.ndarray]:
    """Distinct objects (None where building failed), and which of them each run has (−1: none)."""
    names = list(varying)
    rows = list(zip(*(_plain(values) for values in varying.values()), strict=True)) if varying else [()] * n
    having: dict[tuple, list[int]] = {}
    for i, values in enumerate(rows):
        if i not in failures:
            having.setdefault(values, []).append(i)
    distinct: list[Any] = []
    index = np.full(n, -1)
    for values, own in having.items():
        index[own] = len(distinct)
        if hang := watchdog.hang_of(own, BUILDING):
            failures.update(dict.fromkeys(own, Told(hang.reason(watchdog.timeout_s or 0.0), "")))
            distinct.append(None)
            continue
        try:
            with watchdog.over(own, BUILDING):
                distinct.append(built({k: v for k, v in zip(names, values, strict=True) if v is not None}))
        except (Exception, SystemExit) as error:
            if strict:
                raise
            failures.update(dict.fromkeys(own, told(error)))
            distinct.append(None)
    return distinct, index


def _build_many(
    recipe: Recipe,
    plugin: ProblemPlugin,
    built: Callable[[Mapping[str, Any]], Any],
    options: Mapping[str, Any],
    varying: Columns,
    n: int,
    failures: Mapping[int, Told],
) -> _Parts | None:
    """All runs at once by the plug-in's own `build_many`; None when it cannot (then one by one, to find which)."""
    good = [i for i in range(n) if i not in failures]
    if not good:
        return None
    try:
        base = with_files(plugin.options(**options), recipe.files)
        columns = {name: _filled(values, getattr(base, name)) for name, values in varying.items()}
        stacked = load_reference(plugin.build_many or "")(base, columns)
        if "template" not in recipe.memory:
            recipe.memory["template"] = built({name: values[good[0]].item() for name, values in columns.items()})
    except Exception as error:
        if "build_many" not in recipe.memory:  # said once a program
            recipe.memory["build_many"] = told(error).message
            logging.getLogger("campaign").warning(
                "`build_many` of `%s` failed: %s. Its runs are built one by one, which is slower",
                plugin.name,
                recipe.memory["build_many"],
            )
        return None
    return _Parts((), np.zeros(n, int), stacked=stacked, template=recipe.memory["template"])


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    """A column as Python values."""
    return values.tolist() if isinstance(values, np.ndarray) else values


def _filled(values: Sequence[Any], default: Any) -> np.ndarray:
    """A column as an array, the default where the plan says nothing."""
    if isinstance(values, np.ndarray):
        return values
    return np.asarray([default if value is None else value for value in values])


def _assemble(
    recipe: Recipe, problems: _Parts, engines: _Parts, rows: np.ndarray, columns: Columns, run_ids: Sequence[str]
) -> Group:
    capacity = recipe.capacity
    problem, problem_batched = problems.take(rows, capacity)
    if capacity == 1 and _own_bytes(problem, problem_batched) <= _MOST_TWICE:
        capacity = 2
        problem, problem_batched = problems.take(rows, capacity)
    engine, engine_batched = engines.take(rows, capacity)
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


def _aligned(engine: Any, every: int) -> Any:
    """The engine with chunks of steps that begin at a recorded step, where a chunk has several of them."""
    if every == 1 or every > engine.chunk_steps or engine.chunk_steps % every == 0:
        return engine
    return replace(engine, chunk_steps=engine.chunk_steps // every * every)


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
            own = np.asarray(_filled(column, np.nan), dtype=np.float64)[lanes]
            out[:, j] = np.where(np.isfinite(own), own, out[:, j])
    return out
