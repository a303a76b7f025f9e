"""One run, or a handful, in this process: the same block and the same loop, with outputs in memory.

A run's id, and with it its random key, is the one that a campaign gives the same run, so its numbers are the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign import data
from campaign.errors import Unavailable
from campaign.given import around, inputs_of, named_problem
from campaign.identity import ID_LENGTH, number_texts, run_document, run_id, run_ids
from campaign.manifest.options import data_files, resolved
from campaign.registry import ENGINES, EnginePlugin, ProblemPlugin, load
from campaign.schedule.spaces import read_beside
from campaign.store.layout import BlockTask
from campaign.store.trace_policy import EVERYTHING, TracePolicy
from campaign.work.jax_runtime import start_jax

if TYPE_CHECKING:
    from campaign.engines.base import AbstractEngine
    from campaign.problem.base import Problem
    from campaign.work.planned_block import PlannedBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What a run gave. The same fields as in a summary, and its trace.

    Attributes:
        run_id: the one that a campaign gives this run.
        theta: all parameters by name, in their units.
        stderr: standard errors of the free ones; NaN where the data give none; empty when the engine estimates none.
        loss: −ln L at theta, up to a constant.
        outcome, message: how it ended.
        metric, derived: named numbers.
        bounds_reached, unidentified, nonfinite: as in a summary.
        trace: field → array over steps.
        arrays: further arrays (covariance, predictions).
        rows_held: how the rows were held, and why, where free memory decided it.
    """

    run_id: str
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
    nonfinite: list[str]
    trace: dict[str, np.ndarray]
    arrays: dict[str, np.ndarray]
    rows_held: str | None = None


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
    precision: str = "float64",
) -> Fit:
    """Run one problem with one engine from one start.

    Args:
        problem: a registered name or ``"file.py:function"`` (with `options`), or a `Problem`.
        engine: a registered name (with `engine_options`), or an engine.
        start: values that differ from the problem's initial ones.
        seed: root seed.
        free: parameters that move; None is the problem's choice.
        scale: typical sizes of the free parameters, where they differ from the problem's.
        precision: "float64" or "float32", of every number that is computed.

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
        precision=precision,
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
    precision: str = "float64",
) -> list[Fit]:
    """Run one problem with one engine from several starts, together: one block. See `fit`."""
    if not starts:
        return []
    given = {"seed": seed, "free": free, "scale": scale, "options": options, "engine_options": engine_options}
    return run_planned(planned(problem, engine, starts, precision=precision, **given))


def planned(
    problem: str | Problem,
    engine: str | AbstractEngine | EnginePlugin,
    starts: Sequence[Mapping[str, float]],
    *,
    seed: int = 0,
    free: Sequence[str] | None = None,
    scale: Mapping[str, float] | None = None,
    options: Mapping[str, Any] | None = None,
    engine_options: Mapping[str, Any] | None = None,
    precision: str = "float64",
) -> PlannedBlock:
    """The block that `fits` runs."""
    start_jax()
    from campaign.work.planned_block import PlannedBlock
    from campaign.work.recipe import Recipe

    named = named_problem(problem)
    problems: ProblemPlugin = named.plugin  # pyright: ignore[reportAssignmentType]
    if isinstance(engine, EnginePlugin):
        engines = engine
    else:
        engines = load(ENGINES, engine) if isinstance(engine, str) else around(EnginePlugin, engine)
    own = problems.options(**dict(options or {}))
    engine_files = data_files(engines.options(**dict(engine_options or {})))
    named_files = (*data_files(own), *inputs_of(problems, own), *engine_files)
    found = {name: data.find(name, Path.cwd()) for name in named_files}
    recipe = Recipe(
        problem=problems,
        engine=engines,
        problem_options=dict(options or {}),
        engine_options=dict(engine_options or {}),
        start={},
        scale=dict(scale or {}),
        free=tuple(free) if free is not None else None,
        seed=seed,
        capacity=len(starts),
        precision=precision,
        files={name: str(path) for name, path in found.items()},
    )
    inputs = {name: {"path": str(path), "sha256": data.sha256(path)} for name, path in found.items()}
    code = {} if named.module is None else read_beside(named, own, inputs) | {named.module.name: named.module.sha256}
    document = run_document(
        problem={"name": problems.name, **resolved(own)} | ({"free": sorted(free)} if free else {}),
        engine={"name": engines.name, **resolved(engines.options(**dict(engine_options or {})))},
        start={},
        scale=recipe.scale,
        seed=seed,
        replicate=0,
        versions={"problem": problems.version, "engine": engines.version},
        files={name: known["sha256"] for name, known in inputs.items()} | code,
        precision=precision,
    )
    names = sorted({name for start in starts for name in start})
    return PlannedBlock(
        task=BlockTask("fit", 0, 0),
        program="fit",
        header={"problem": {"name": problems.name}, "engine": {"name": engines.name}, "n_rows": len(starts)},
        recipe=recipe,
        run_ids=_run_ids(document, starts, engines.unkeyed),
        columns={f"start.{name}": [start.get(name) for start in starts] for name in names},
        first_row=0,
        seed=seed,
        trace=TracePolicy(),
    )


def replay(directory: str | Path, run: str) -> Fit:
    """Run one run of a campaign again, in this process, with everything recorded. The directory is only read.

    Its numbers are those of the summary bit for bit, on the same kind of machine and versions.

    Args:
        directory: of the campaign.
        run: the beginning of a run id, or "last".

    Raises:
        UnknownName: no such campaign or run.
        DataFileError: an input file is missing or not the one that was planned.
    """
    start_jax()
    from campaign.analysis.handle import open_campaign
    from campaign.store.claim import read_identity
    from campaign.work.planned_block import load_block

    handle = open_campaign(directory)
    found = handle.run(run)
    block = load_block(handle.layout, BlockTask(found.stage, found.part, found.block), read_identity(handle.layout).id)
    return run_planned(replace(block.only(found.run_id), trace=EVERYTHING))[0]


def run_planned(block: PlannedBlock) -> list[Fit]:
    """Run a block in memory."""
    from campaign.store.lines import records_of
    from campaign.work.block import Execution, execute
    from campaign.work.control import Control
    from campaign.work.desk import MemoryDesk

    desk = MemoryDesk()
    execution = Execution(
        desk=desk,
        block=block,
        control=Control(),
        started=time.time(),
        run_ids=lambda: np.array(block.run_ids),
        is_strict=True,
    )
    if not execute(execution):
        raise Unavailable("the run was stopped before its end")
    found: list[Fit | None] = [None] * len(block.run_ids)
    for rows, columns in execution.found:
        for row, record in zip(rows.tolist(), records_of(columns, len(rows)), strict=True):
            found[row] = _fit(str(block.run_ids[row]), record, row, desk)
    return [one for one in found if one is not None]


def _fit(run: str, record: dict[str, Any], row: int, desk: Any) -> Fit:
    fields = desk.output.spec.fields if desk.output is not None else ()
    arrays = {field.name: desk.output.of(row, field.name, record["n_steps"]) for field in fields}
    keep = ("theta", "loss", "loss_initial", "outcome", "status", "message", "n_steps", "n_evaluations", "derived")
    return Fit(
        run_id=run,
        **{name: record[name] for name in keep},
        stderr={k: v for k, v in record["stderr"].items() if v is not None},
        metric=record["metric"],
        rows_held=record.get("rows_held"),
        bounds_reached=record["bounds_reached"],
        unidentified=record["unidentified"],
        nonfinite=record["nonfinite"],
        trace={field.name: arrays[field.name] for field in fields if not field.once},
        arrays={field.name: arrays[field.name] for field in fields if field.once},
    )


def _run_ids(document: Mapping[str, Any], starts: Sequence[Mapping[str, float]], unkeyed: Sequence[str]) -> list[str]:
    """Run ids of runs that differ in their starts; `unkeyed` as in `identity.run_ids`."""
    ids = [""] * len(starts)
    kinds: dict[tuple[str, ...], list[int]] = {}
    for i, start in enumerate(starts):
        kinds.setdefault(tuple(sorted(start)), []).append(i)
    for names, rows in kinds.items():
        if names:
            columns = [number_texts(np.array([starts[i][name] for i in rows], np.float64)) for name in names]
            gaps = [("start", name) for name in names]
            text = run_ids(document, gaps, columns, unkeyed).hex()
        else:
            text = run_id(document, unkeyed) * len(rows)
        for k, i in enumerate(rows):
            ids[i] = text[ID_LENGTH * k : ID_LENGTH * (k + 1)]
    return ids
