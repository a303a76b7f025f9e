"""One run, or a handful, in this process: the debugging face of the same loop. Nothing is written to disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign.registry import ENGINES, PROBLEMS, Options, Plugin, load

if TYPE_CHECKING:
    from campaign.engines.base import AbstractEngine
    from campaign.problem.base import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a run gave. The same fields as in a summary, and its trace.

    Attributes:
        theta: all parameters by name, in their units.
        stderr: standard errors of the free ones; NaN where the data give none; empty when the engine estimates none.
        loss: −ln L at theta, up to a constant.
        outcome, message: how it ended.
        metric, derived: named numbers.
        bounds_reached, unidentified: as in a summary.
        trace: field → array over steps.
        arrays: further arrays (covariance, predictions).
    """

    theta: dict[str, float]
    stderr: dict[str, float]
    loss: float
    loss_initial: float
    outcome: str
    message: str | None
    status: str
    n_steps: int
    n_evaluations: int
    metric: dict[str, float]
    derived: dict[str, float]
    bounds_reached: list[str]
    unidentified: list[str]
    trace: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]


class _Memory:
    """The loop's sink for runs that stay in memory."""

    def __init__(self) -> None:
        self.chunks: list[dict[str, np.ndarray]] = []

    def trace(self, chunk: int, fields: dict[str, np.ndarray]) -> None:
        self.chunks.append(fields)

    def between(self, next_chunk: int, leaves: Any) -> bool:
        return False

    def is_late(self) -> bool:
        return False


def fit(
    problem: str | Problem,
    engine: str | AbstractEngine = "trf",
    start: Mapping[str, float] | None = None,
    *,
    seed: int = 0,
    free: Sequence[str] | None = None,
    scale: Mapping[str, float] | None = None,
    options: Mapping[str, Any] | None = None,
    engine_options: Mapping[str, Any] | None = None,
) -> Fit:
    """Run one problem with one engine from one start.

    Args:
        problem: a registered name (with `options`), or a `Problem`.
        engine: a registered name (with `engine_options`), or an engine.
        start: values that differ from the problem's initial ones.
        seed: root seed.
        free: parameters that move; None is the problem's choice.
        scale: typical sizes of the free parameters, where they differ from the problem's.

    Raises:
        UnknownName, InvalidValue: an unknown name, or a start out of bounds.
    """
    return fits(
        problem,
        engine,
        [start or {}],
        seed=seed,
        free=free,
        scale=scale,
        options=options,
        engine_options=engine_options,
    )[0]


def fits(
    problem: str | Problem,
    engine: str | AbstractEngine,
    starts: Sequence[Mapping[str, float]],
    *,
    seed: int = 0,
    free: Sequence[str] | None = None,
    scale: Mapping[str, float] | None = None,
    options: Mapping[str, Any] | None = None,
    engine_options: Mapping[str, Any] | None = None,
) -> list[Fit]:
    """Run one problem with one engine from several starts, together. See `fit`."""
    from campaign.work.jax_runtime import start_jax

    start_jax()
    from campaign.engines.loop import run_lanes
    from campaign.store.lines import records_of
    from campaign.work.building import Recipe, build_block
    from campaign.work.compiling import compiled_for
    from campaign.work.model_failures import close, failure_metrics, with_failures
    from campaign.work.records import block_metrics, group_columns

    recipe = Recipe(
        problem=_plugin(PROBLEMS, problem),
        engine=_plugin(ENGINES, engine),
        problem_options=dict(options or {}),
        engine_options=dict(engine_options or {}),
        start={},
        scale=dict(scale or {}),
        free=tuple(free) if free is not None else None,
        seed=seed,
        capacity=len(starts),
    )
    names = sorted({name for start in starts for name in start})
    columns = {f"start.{name}": [start.get(name) for start in starts] for name in names}
    run_ids = [hashlib.sha256(repr(sorted(start.items())).encode()).hexdigest()[:32] for start in starts]
    built = build_block(recipe, columns, run_ids, strict=True)
    (group,) = built.groups
    for start in starts:
        group.space.theta(start)
    compiled, _ = compiled_for(group, None)
    memory = _Memory()
    finished = run_lanes(compiled, group.batch, np.ones(len(starts), bool), memory)
    accounts = close(group.batch.work.target.problem, len(starts))
    metrics = block_metrics(finished, group) | failure_metrics(accounts)
    records = records_of(with_failures(group_columns(finished, group, metrics), accounts), len(starts))
    trace = {name: np.concatenate([c[name] for c in memory.chunks], axis=1) for name in compiled.shapes.info}
    return [_fit(record, i, trace, finished, group.batch.work.engine) for i, record in enumerate(records)]


def _fit(record: dict[str, Any], lane: int, trace: Mapping[str, np.ndarray], finished: Any, engine: Any) -> Fit:
    own = {name: values[lane, : record["n_steps"]] for name, values in trace.items()}
    wanted = {name: own[name] for name in engine.diagnose_fields()}
    metric = record["metric"] | (engine.diagnose(wanted) if wanted else {})
    message = engine.remark(metric) or None if record["outcome"] == "converged" else record["message"]
    keep = ("theta", "loss", "loss_initial", "outcome", "status", "n_steps", "n_evaluations", "derived")
    return Fit(
        **{name: record[name] for name in keep},
        message=message,
        stderr={k: v for k, v in record["stderr"].items() if v is not None},
        metric=metric,
        bounds_reached=record["bounds_reached"],
        unidentified=record["unidentified"],
        trace=own,
        arrays={name: values[lane] for name, values in finished.result.arrays.items()},
    )


def _plugin(group: str, value: Any) -> Any:
    """The plug-in of a name, or one made around an object."""

    if isinstance(value, str):
        return load(group, value)
    return Plugin(name=type(value).__name__, version="0", options=Options, build=lambda _: value)
