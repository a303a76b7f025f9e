"""The distinct problems and engines of a block: each is built once, and one that fails fails its own runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from campaign.manifest.options import with_files
from campaign.own_code import Told, told
from campaign.registry import EnginePlugin, ProblemPlugin, load_reference
from campaign.space import ThetaSpace
from campaign.work.gathering import gathered
from campaign.work.recipe import Columns, Recipe
from campaign.work.watchdog import BUILDING, BUILDING_ALL, Watchdog

_MEMBERS = "@members"  # among varying options; the name of none


@dataclass(frozen=True, slots=True)
class Variants:
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


def build_variants(
    recipe: Recipe, kind: str, *, columns: Columns, n: int, failures: dict[int, Told], strict: bool, watchdog: Watchdog
) -> Variants:
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
        return Variants((recipe.memory[kind],), np.zeros(n, int), is_shared=True)
    has_hung = watchdog.hang_of(range(n), BUILDING_ALL) is not None
    if varying and isinstance(plugin, ProblemPlugin) and plugin.build_many and not fields and not has_hung:
        with watchdog.over(range(n), BUILDING_ALL):
            parts = _build_many(recipe, plugin, built, options, varying, n, failures)
        if parts is not None:
            return parts
    distinct, index = _build_each(built, varying, n, failures, strict, watchdog)
    if not varying and index.max(initial=-1) == 0 and distinct[0] is not None:
        recipe.memory[kind] = distinct[0]
    return Variants(distinct, index, is_shared=not varying)


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
            failures.update(dict.fromkeys(own, Told(hang.reason(watchdog.timeout_s), "")))
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
) -> Variants | None:
    """All runs at once by the plug-in's own `build_many`; None when it cannot (then one by one, to find which)."""
    good = [i for i in range(n) if i not in failures]
    if not good:
        return None
    try:
        base = with_files(plugin.options(**options), recipe.files)
        columns = {name: filled(values, getattr(base, name)) for name, values in varying.items()}
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
    return Variants((), np.zeros(n, int), stacked=stacked, template=recipe.memory["template"])


def _plain(values: Sequence[Any]) -> Sequence[Any]:
    """A column as Python values."""
    return values.tolist() if isinstance(values, np.ndarray) else values


def filled(values: Sequence[Any], default: Any) -> np.ndarray:
    """A column as an array, the default where the plan says nothing."""
    if isinstance(values, np.ndarray):
        return values
    return np.asarray([default if value is None else value for value in values])


def _aligned(engine: Any, every: int) -> Any:
    """The engine with chunks of steps that begin at a recorded step, where a chunk has several of them."""
    if every == 1 or every > engine.chunk_steps or engine.chunk_steps % every == 0:
        return engine
    return replace(engine, chunk_steps=engine.chunk_steps // every * every)
