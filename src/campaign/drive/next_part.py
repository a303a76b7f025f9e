"""What the next submission of a manifest would plan, run and write: made from the manifest and the directory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from campaign.drive.keeping import changes
from campaign.errors import Diagnostic, Incomplete, ManifestError, UnknownName, nearest
from campaign.manifest.diagnose import pointer
from campaign.schedule.check import open_manifest
from campaign.schedule.pending import pending
from campaign.schedule.planning import plan_stage
from campaign.schedule.stage_points import expected, points_of
from campaign.store import plan as plans
from campaign.store.claim import Identity, check_directory, layout_mode, root_of
from campaign.store.gather import array_names
from campaign.store.layout import Layout
from campaign.store.previous import previous
from campaign.store.records import read_json
from campaign.store.summaries import DIRECTORIES, published

if TYPE_CHECKING:
    import pyarrow as pa

    from campaign.manifest.model import Manifest, Stage
    from campaign.manifest.points import Points
    from campaign.work.cost import Cost


def planned(layout: Layout | None, manifest: Manifest, stage: Stage, *, before: int | None = None) -> plans.PlanPart:
    """The next plan part of a stage, from the manifest and what the directory holds. Writes nothing.

    `before`: as if this part and later ones had not been planned.
    """
    if layout is None:
        return plan_stage(manifest, stage, load_defaults=_load_defaults)
    source, starts, source_part = follows(stage), None, None
    if source is not None:
        number = plans.latest_part(layout, source)
        if number is None:
            raise Incomplete(f"stage `{stage.name}` starts from `{source}`, which has no plan yet")
        source_part, starts = plans.read_part(layout, source, number), _starts(layout, source)
    return plan_stage(
        manifest,
        stage,
        previous=previous(layout, stage.name, before=before),
        starts=starts,
        source=source_part,
        arrays=_arrays(layout, source_part),
        load_defaults=_load_defaults,
    )


def _load_defaults(model: str) -> Any:
    from campaign.store.defaults import load_defaults

    return load_defaults(model)


def _starts(layout: Layout, source: str) -> pa.Table:
    """Summary rows of the stage that another one starts from."""
    import pyarrow.parquet as pq

    return pq.read_table(layout.table, filters=[("stage", "=", source)])


def _arrays(layout: Layout, source: plans.PlanPart | None) -> frozenset[str] | None:
    """Names of the arrays that the runs of a complete stage have on disk."""
    if source is None:
        return None
    names = set(source.rows.column("program").cast("string").unique().to_pylist())
    paths = [layout.program(source.stage, name) for name in sorted(names)]
    return array_names(read_json(path) for path in paths if path.exists())


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
        ranks_per_block: processes that compute a block.
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
    ranks_per_block: int = 1


def plan(
    manifest_path: str | Path, directory: str | Path | None = None, *, settings: Sequence[str] = ()
) -> tuple[StagePlan, ...]:
    """Say exactly what `submit` would do. Changes nothing.

    Raises:
        ManifestError, UsageError: as `submit` does.
        UnknownName, InvalidValue: an executor or a profile that there is not.
    """
    manifest = open_manifest(Path(manifest_path), settings)
    root = root_of(directory, manifest.name)
    identity = check_directory(root, manifest.name)
    layout = Layout(root.resolve())
    first, *rest = _foreseen(manifest, layout, identity)
    return replace(first, warnings=(*changes(layout, identity, manifest), *first.warnings)), *rest


def validate(manifest_path: str | Path, *, settings: Sequence[str] = ()) -> tuple[Manifest, tuple[StagePlan, ...]]:
    """Everything that `plan` finds, in a directory that is empty.

    Raises:
        As `plan`.
    """
    manifest = open_manifest(Path(manifest_path), settings)
    return manifest, _foreseen(manifest, None, None)


def _foreseen(manifest: Manifest, layout: Layout | None, identity: Identity | None) -> tuple[StagePlan, ...]:
    check_execution(manifest)
    parts: dict[str, plans.PlanPart] = {}
    points: dict[str, Points] = {}
    found: list[StagePlan] = []
    n_first = 0
    for stage in manifest.stages:
        source = follows(stage)
        if source is not None and (layout is None or not _is_complete(layout, source)):
            _check_picked(manifest, stage, parts.get(source))
            begun = expected(manifest, stage, points[source])
            points[stage.name] = replace(begun.points, columns=begun.columns)
            found.append(_waiting(stage, begun.points))
            continue
        part = parts[stage.name] = planned(layout, manifest, stage)
        points[stage.name] = points_of(part)
        n_first += part.header["n_runs"]
        mode = identity.layout if identity else layout_mode(manifest.execution.layout, n_first)
        found.append(_stage_plan(layout, manifest, stage, part, mode))
    return tuple(found)


def _is_complete(layout: Layout, stage: str) -> bool:
    return plans.latest_part(layout, stage) is not None and not pending(layout, stage) and layout.table.exists()


def _waiting(stage: Stage, points: Points) -> StagePlan:
    """Counts of a stage whose source has not run."""
    return StagePlan(
        stage=stage.name,
        n_points=points.n_before,
        n_excluded=points.n_excluded,
        n_duplicates=0,
        n_runs=points.n,
        n_new=points.n,
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


def _check_picked(manifest: Manifest, stage: Stage, source: plans.PlanPart | None) -> None:
    """A run that a stage starts from by its id is planned.

    Raises:
        ManifestError: it is not.
    """
    picked = stage.start.run
    if picked and source is not None:
        ids = source.rows.column("run_id")
        if not pc.any(pc.starts_with(ids, picked)).as_py():
            message = f"no run of stage `{stage.start.source}` has an id that begins with `{picked}`"
            finding = Diagnostic(place=pointer(stage.place, "start", "pick"), message=message)
            raise ManifestError([finding], source=manifest.source)


def check_execution(manifest: Manifest) -> None:
    """The executor is there with its options and its cluster profile; so are the executors of the profiles.

    Raises:
        UnknownName, InvalidValue: with the place.
    """
    from campaign.execute.catalogue import executor_names, make_executor

    make_executor(manifest.execution)
    for name in manifest.profiles:
        executor = manifest.execution_for(name).executor
        if executor not in executor_names():
            place = f"/profiles/{name}/executor"
            raise UnknownName(f"unknown executor `{executor}` at {place}", hint=nearest(executor, executor_names()))


def _stage_plan(layout: Layout | None, manifest: Manifest, stage: Stage, part: plans.PlanPart, mode: str) -> StagePlan:
    from campaign.work.cost import cost_of

    header = part.header
    rows = part.rows.select(["part", "block"]).to_pandas()
    done = published(layout, stage.name) if layout is not None else ()
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
        ranks_per_block=manifest.execution.ranks_per_block,
        cost=cost_of(
            part,
            has_folders=mode == DIRECTORIES,
            layout=layout,
            ranks_per_block=manifest.execution.ranks_per_block,
        ),
    )
