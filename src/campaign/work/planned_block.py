"""A block as its worker sees it: what the plan says of it, resolved to plug-ins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from campaign.data import verified
from campaign.errors import Damage
from campaign.registry import ENGINES, PROBLEMS, ProblemPlugin, load
from campaign.store import plan
from campaign.store.kept import kept_in
from campaign.store.layout import BlockTask, Layout
from campaign.store.lines import Column, Same, records_of
from campaign.store.plan import OLD_ROW
from campaign.store.trace_policy import TracePolicy, trace_policy
from campaign.work.gathering import Reader, reader
from campaign.work.recipe import Recipe

OWN = (
    "run_id",
    "attempt",
    "replicate",
    "label",
    "blocked",
    OLD_ROW,
)  # columns of the plan that are no axes and differ by run


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBlock:
    """One block of a plan.

    Attributes:
        task: its address.
        program: name of its program, also of its trace group.
        header: the program's entry in the plan header.
        recipe: how its runs are built.
        run_ids, columns: one entry a run; `columns` maps axis paths to values.
        first_row: row of its first run in the program's arrays.
        seed: root seed of the campaign.
        trace: what is recorded.
    """

    task: BlockTask
    program: str
    header: Mapping[str, Any]
    recipe: Recipe
    run_ids: Sequence[str]
    columns: Mapping[str, Sequence[Any]]
    first_row: int
    seed: int
    trace: TracePolicy

    @property
    def row_chunk(self) -> int:
        """Index of the block among its program's blocks."""
        return self.first_row // self.recipe.capacity

    def only(self, run_id: str) -> PlannedBlock:
        """The same block with one of its runs."""
        i = list(self.run_ids).index(run_id)
        columns = {name: values[i : i + 1] for name, values in self.columns.items()}
        return replace(self, run_ids=self.run_ids[i : i + 1], columns=columns, first_row=self.first_row + i)

    def identities(self) -> dict[str, Column]:
        """What the record of every run says of the run itself, as columns."""
        labels = self.columns.get("label")
        return {
            "run_id": self.run_ids,
            "schema": Same("campaign.summary/1"),
            "stage": Same(self.task.stage),
            "problem": Same(self.header["problem"]["name"]),
            "engine": Same(self.header["engine"]["name"]),
            "seed": Same(self.seed),
            "part": Same(self.task.part),
            "block": Same(self.task.block),
            "program": Same(self.program),
            "label": labels if labels is not None and any(labels) else Same(None),
            "replicate": self.columns.get("replicate", Same(0)),
            "attempt": self.columns["attempt"],
            "row": np.arange(self.first_row, self.first_row + len(self.run_ids)),
        }

    def metas(
        self, versions: Mapping[str, str], starts: Mapping[int, Mapping[str, float]] | None = None
    ) -> list[dict[str, Any]]:
        """meta.json of every run: what is needed to understand and repeat it.

        Args:
            versions: of the software.
            starts: position of a run → all parameters at its start, for runs that were built.
        """
        axes = {k: _listed(v) for k, v in self.columns.items() if "." in k or k == "members"}
        metas = []
        for i, identity in enumerate(records_of(self.identities(), len(self.run_ids))):
            own = {path: values[i] for path, values in axes.items() if values[i] is not None}
            documents = {kind: {**(self.header.get(kind) or {}), **_below(own, kind)} for kind in _DOCUMENTS}
            documents["start"] |= (starts or {}).get(i, {})
            metas.append(
                identity
                | {
                    "schema": "campaign.meta/1",
                    **documents,
                    "free": self.header.get("free"),
                    "axes": own,
                    "inputs": dict(self.header.get("inputs") or {}),
                    "plugin_versions": dict(self.header["versions"]),
                    "versions": dict(versions),
                }
            )
        return metas


_DOCUMENTS = ("problem", "engine", "start", "scale")


def _below(axes: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The axes of a document, by their names in it."""
    return {path.partition(".")[2]: value for path, value in axes.items() if path.startswith(f"{kind}.")}


def _listed(values: Sequence[Any]) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def load_block(layout: Layout, task: BlockTask, campaign_id: str) -> PlannedBlock:
    """Read a block's rows and resolve its program.

    Args:
        layout, task: which block.
        campaign_id: of the directory; what this process remembers of plans is kept by it.

    Raises:
        Damage: the plan has no such block, or contradicts itself.
        DataFileError: an input file is missing or not the one that was planned.
    """
    rows = plan.read_block(layout, task.stage, task.part, task.block)
    if rows.num_rows == 0:
        raise Damage(f"plan {task.stage}/{task.part} has no block {task.block}", hint="run `campaign verify`")
    header = _header(layout.root, task.stage, task.part, campaign_id)
    names = [name for name in rows.column_names if name in OWN or is_varying(header, name)]
    columns = {name: _values(rows.column(name)) for name in names}
    program = rows.column("program")[0].as_py()
    entry = header["programs"][program]
    verify_inputs(entry, layout.root)
    return PlannedBlock(
        task=task,
        program=program,
        header=entry,
        recipe=_recipe(layout.root, task.stage, task.part, program, campaign_id),
        run_ids=columns["run_id"],
        columns=columns,
        first_row=rows.column("row")[0].as_py(),
        seed=header["seed"],
        trace=policy_of(entry, header),
    )


def _values(column: pa.ChunkedArray) -> Sequence[Any]:
    """A column as an array where it holds numbers for all runs, else as a list with None."""
    if column.null_count == 0 and (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return column.to_numpy()
    return column.to_pylist()


def verify_inputs(entry: Mapping[str, Any], folder: Path) -> None:
    """Check that the input files of a program are those that were planned.

    Raises:
        DataFileError: one is missing or has changed.
    """
    for known in (entry.get("inputs") or {}).values():
        verified(folder / known["path"], known["sha256"])


def is_varying(header: Mapping[str, Any], path: str) -> bool:
    """Whether an axis differs between the runs of one program."""
    return path in header["axes"] and header["axes"][path]["varying"]


@lru_cache(maxsize=64)
def _header(root: Path, stage: str, part: int, campaign_id: str) -> Mapping[str, Any]:
    return plan.read_header(Layout(root), stage, part)


@lru_cache(maxsize=256)
def _recipe(root: Path, stage: str, part: int, program: str, campaign_id: str) -> Recipe:
    header = _header(root, stage, part, campaign_id)
    entry = header["programs"][program]
    problem = problem_plugin(root, entry)
    recipe = recipe_of(entry, header["seed"], problem, root, reader(Layout(root), entry, problem))
    return replace(recipe, every=policy_of(entry, header).every)


def policy_of(entry: Mapping[str, Any], header: Mapping[str, Any]) -> TracePolicy:
    """What is recorded of a program's runs: as its entry says (runs that are diagnosed), else as the stage does."""
    return trace_policy(entry.get("trace", header["trace"]))


def recipe_of(
    entry: Mapping[str, Any], seed: int, problem: ProblemPlugin, folder: Path = Path(), gather: Reader | None = None
) -> Recipe:
    """How the runs of a program are built, from its entry in the plan header; `folder` is the campaign's."""
    return Recipe(
        problem=problem,
        engine=load(ENGINES, entry["engine"]["name"]),
        problem_options={k: v for k, v in entry["problem"].items() if k != "name"},
        engine_options={k: v for k, v in entry["engine"].items() if k != "name"},
        start=entry.get("start") or {},
        scale=entry.get("scale") or {},
        free=tuple(entry["free"]) if entry.get("free") is not None else None,
        seed=seed,
        capacity=entry["block_size"],
        precision=entry.get("precision", "float64"),
        files={name: str(folder / known["path"]) for name, known in (entry.get("inputs") or {}).items()},
        gather=gather,
    )


def problem_plugin(folder: Path, entry: Mapping[str, Any]) -> ProblemPlugin:
    """The plug-in of a program's problem; a problem file is looked up in `folder`, the campaign's."""
    module = entry.get("module")
    if module is None:
        return load(PROBLEMS, entry["problem"]["name"])
    from campaign.problem.file import load_file_problem

    tree = module.get("folder")
    if tree and not Path(tree).is_absolute():
        kept_in(folder / tree)  # without its index nobody knows whose files these are
    return load_file_problem(folder / module["file"], module["attribute"], folder / tree if tree else None)


def program_run_ids(block: PlannedBlock, layout: Layout) -> np.ndarray:
    """Run ids of the block's program in row order, for the coordinate of its trace group."""
    return plan.program_run_ids(layout, block.task.stage, block.task.part, block.program)


def time_text(seconds: float) -> str:
    """ISO-8601 UTC to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
