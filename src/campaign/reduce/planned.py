"""The plan as the read wing sees it: stages in order, their latest rows, the program behind every row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from campaign.errors import Damage, UnknownName, nearest
from campaign.store import plan
from campaign.store.layout import Layout
from campaign.store.records import read_json
from campaign.store.summaries import published


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """A stage as planned last.

    Attributes:
        name: of the stage.
        part: number of its latest plan.
        header: of that plan.
        programs: name → entry of every program of this plan and of earlier ones; kept rows point into earlier plans.
        rows: file of the rows, one a run.
    """

    name: str
    part: int
    header: dict[str, Any]
    programs: dict[str, dict[str, Any]]
    rows: Path

    @property
    def n_runs(self) -> int:
        return int(self.header["n_runs"])


def stage_names(layout: Layout) -> list[str]:
    """Stages that have a plan: in the manifest's order, then those that only earlier manifests had, by name."""
    folder = layout.plan_folder("x").parent
    found = (
        {p.name for p in folder.iterdir() if p.is_dir() and plan.parts(layout, p.name)} if folder.is_dir() else set()
    )
    try:
        manifest = read_json(layout.manifest)
    except (FileNotFoundError, Damage):
        manifest = {}
    declared = [str(s.get("name")) for s in manifest.get("stages", []) if isinstance(s, dict)]
    ordered = [name for name in declared if name in found]
    return ordered + sorted(found - set(ordered))


def planned_stages(layout: Layout, names: Iterable[str] | None = None) -> list[PlannedStage]:
    """The stages as planned last; all of them when `names` is None.

    Raises:
        UnknownName: a name that has no plan.
        Damage: a plan header that cannot be read, or, where all stages are meant, a part that is gone.
    """
    known = stage_names(layout)
    if names is None:
        _check_parts(layout)
    wanted = known if names is None else list(names)
    for name in wanted:
        if name not in known:
            raise UnknownName(f"stage `{name}` has no plan in {layout.root}", hint=nearest(name, known))
    return [_planned(layout, name) for name in known if name in wanted]


def _check_parts(layout: Layout) -> None:
    """Every published block belongs to a part of the plan that is there.

    Raises:
        Damage: a part is gone; without it a stage would look as if it had never been planned.
    """
    folder = layout.summaries_folder("x").parent
    for stage in sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else ():
        gone = {part for part, _ in published(layout, stage)} - set(plan.parts(layout, stage))
        if gone:
            message = f"part {min(gone)} of the plan of stage `{stage}` is missing, and blocks of it are published"
            raise Damage(message, hint=f"run `campaign verify {layout.root} --repair`")


def _planned(layout: Layout, name: str) -> PlannedStage:
    part = plan.parts(layout, name)[-1]
    return PlannedStage(
        name=name,
        part=part,
        header=plan.read_header(layout, name, part),
        programs=plan.programs(layout, name),
        rows=layout.plan_rows(name, part),
    )
