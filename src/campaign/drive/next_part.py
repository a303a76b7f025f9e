"""What the next submission of a manifest would plan, run and write: made from the manifest and the directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from campaign.errors import Incomplete
from campaign.schedule.check import open_manifest
from campaign.schedule.pending import pending
from campaign.schedule.planning import count_stage, plan_stage
from campaign.store import plan as plans
from campaign.store.claim import check_directory, layout_mode, root_of
from campaign.store.layout import Layout
from campaign.store.summaries import DIRECTORIES, published

if TYPE_CHECKING:
    import pyarrow as pa

    from campaign.manifest.model import Manifest, Stage
    from campaign.work.cost import Cost


def planned(layout: Layout, manifest: Manifest, stage: Stage) -> plans.PlanPart:
    """The next plan part of a stage, from the manifest and what the directory holds. Writes nothing."""
    source, starts, source_part = follows(stage), None, None
    if source is not None:
        number = plans.latest_part(layout, source)
        if number is None:
            raise Incomplete(f"stage `{stage.name}` starts from `{source}`, which has no plan yet")
        source_part, starts = plans.read_part(layout, source, number), _starts(layout, source)
    return plan_stage(
        manifest,
        stage,
        previous=plans.previous(layout, stage.name),
        starts=starts,
        source=source_part,
        load_defaults=_load_defaults,
    )


def _load_defaults(model: str) -> Any:
    from campaign.store.defaults import load_defaults

    return load_defaults(model)


def _starts(layout: Layout, source: str) -> pa.Table:
    """Summary rows of the stage that another one starts from."""
    import pyarrow.parquet as pq

    return pq.read_table(layout.table, filters=[("stage", "=", source)])


def follows(stage: Stage) -> str | None:
    """The stage whose results another one needs before it can be planned, or None."""
    return None if stage.start.source == "defaults" else stage.start.source


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """What a submission would do with one stage.

    Attributes:
        n_points: points of the expansion, before excluding.
        n_runs: distinct runs; `n_new` are not planned yet, `n_done` are published, `n_removed` are in the directory
            and no longer in the manifest.
        programs: name → runs, blocks and block size of what is compiled for the new runs.
        waits_for: the stage whose results decide the starts: counts are exact, run ids are made later.
        cost: files and bytes of the new runs; None where they are not known yet.
        continued: number of steps done → how many of the new runs go on from there.
    """

    stage: str
    n_points: int
    n_excluded: int
    n_duplicates: int
    n_runs: int
    n_new: int
    n_done: int
    n_removed: int
    n_blocks: int
    programs: dict[str, dict[str, int]]
    warnings: tuple[str, ...]
    waits_for: str | None
    cost: Cost | None
    continued: dict[int, int] = field(default_factory=dict)


def plan(manifest_path: str | Path, directory: str | Path | None = None) -> tuple[StagePlan, ...]:
    """Say exactly what `submit` would do. Changes nothing.

    Raises:
        ManifestError, UsageError: as `submit` does.
    """
    manifest = open_manifest(Path(manifest_path))
    root = root_of(directory, manifest.name)
    identity = check_directory(root, manifest.name)
    layout = Layout(root.resolve())
    parts: dict[str, plans.PlanPart] = {}
    found: list[StagePlan] = []
    n_first = 0
    for stage in manifest.stages:
        source = follows(stage)
        if source is not None and not _is_complete(layout, source):
            found.append(_waiting(manifest, stage, parts))
            continue
        part = parts[stage.name] = planned(layout, manifest, stage)
        n_first += part.header["n_runs"]
        mode = identity.layout if identity else layout_mode(manifest.execution.layout, n_first)
        found.append(_stage_plan(layout, manifest, stage, part, mode))
    return tuple(found)


def _is_complete(layout: Layout, stage: str) -> bool:
    return plans.latest_part(layout, stage) is not None and not pending(layout, stage) and layout.table.exists()


def _waiting(manifest: Manifest, stage: Stage, parts: dict[str, plans.PlanPart]) -> StagePlan:
    """Counts of a stage whose source has not run."""
    source = parts.get(stage.start.source or "")
    n = count_stage(manifest, stage, source) if source is not None else 0
    return StagePlan(
        stage=stage.name,
        n_points=n,
        n_excluded=0,
        n_duplicates=0,
        n_runs=n,
        n_new=n,
        n_done=0,
        n_removed=0,
        n_blocks=0,
        programs={},
        warnings=stage.warnings,
        waits_for=stage.start.source,
        cost=None,
    )


def _continued(programs: Iterable[Mapping[str, Any]]) -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in programs:
        if "continues" in entry:
            steps = entry["continues"]["steps"]
            found[steps] = found.get(steps, 0) + entry["n_rows"]
    return found


def _stage_plan(layout: Layout, manifest: Manifest, stage: Stage, part: plans.PlanPart, mode: str) -> StagePlan:
    from campaign.work.cost import cost_of

    header = part.header
    rows = part.rows.select(["part", "block"]).to_pandas()
    done = published(layout, stage.name)
    kept = rows[rows["part"] < part.part]
    n_done = sum(len(own) for key, own in kept.groupby(["part", "block"]) if key in done) if len(kept) else 0
    keys = ("n_rows", "n_blocks", "block_size")
    return StagePlan(
        stage=stage.name,
        n_points=header["n_points"],
        n_excluded=header["n_excluded"],
        n_duplicates=header["n_duplicates"],
        n_runs=header["n_runs"],
        n_new=header["n_new"],
        n_done=n_done,
        n_removed=header["n_removed"],
        n_blocks=sum(p["n_blocks"] for p in header["programs"].values()),
        programs={name: {k: entry[k] for k in keys} for name, entry in header["programs"].items()},
        warnings=tuple(header["warnings"]),
        waits_for=None,
        continued=_continued(header["programs"].values()),
        cost=cost_of(part, manifest.folder, has_folders=mode == DIRECTORIES),
    )
