"""Parts of a plan, and the files that runs read, made again from the manifest.

Planning is a pure function of the manifest, the files that it names, the parts before and, for a stage that starts from
another, that stage's results. What it gives is believed where it agrees with all that is left: the header or the rows,
and the runs of every published block.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.analysis.check_foundation import history
from campaign.analysis.check_kept import named_trees
from campaign.analysis.finding import Finding
from campaign.analysis.journal import Journal
from campaign.analysis.verify import next_folder
from campaign.drive.keeping import put_back, with_files
from campaign.drive.next_part import follows, planned
from campaign.errors import CampaignError, Damage
from campaign.reduce.reducer import reduce
from campaign.schedule.keeping import placed
from campaign.store import plan as plans
from campaign.store.atomic import publish_bytes
from campaign.store.claim import read_identity
from campaign.store.layout import Layout
from campaign.store.plan_sums import ROWS, fault_of_rows
from campaign.store.summaries import published, read_block

if TYPE_CHECKING:
    from campaign.manifest.model import Manifest, Stage

_FREE = ("created_at", "warnings", ROWS)  # of a header: not the plan itself


def rebuild_plan(layout: Layout, finding: Finding) -> str | None:
    """Header and rows of a part. None: it is whole again; else why it cannot be."""
    _, stage, name = finding.place.split("/")
    part = int(name.partition(".")[0])
    header, rows = _left_header(layout, stage, part), _left_rows(layout, stage, part)
    if header is not None and rows is not None and fault_of_rows(layout, header) is None:
        return None if _agrees_with_rows(header, rows, part) else "its header and its rows contradict each other"
    event = _journal(layout).submitted.get((stage, part), {})
    known = (header or event).get("manifest_sha256")
    reasons = []
    for manifest in _manifests(layout):
        if known is not None and manifest.sha256 != known:
            continue
        try:
            found = _planned(layout, manifest, manifest.stage(stage), before=part)
        except (CampaignError, OSError) as error:
            reasons.append(str(error).partition("\n")[0])
            continue
        fault = _contradiction(layout, found, part, header, rows)
        if fault is None:
            _write(layout, found, header, event)
            return None
        reasons.append(fault)
    if _is_tried_again(layout, stage, part, header):
        _put_aside(layout, stage, part)
        return None
    reason = reasons[0] if reasons else "no manifest that is left planned it"
    return (
        f"it cannot be made again from the manifest ({reason}), so it is lost which runs its blocks hold; put back "
        f"{layout.plan_folder(stage)}/{part:04d}.* from a copy, or submit the manifest into another directory"
    )


def _is_tried_again(layout: Layout, stage: str, part: int, header: Mapping[str, Any] | None) -> bool:
    """Whether a part is the last one and holds runs that the manifest's own `retry` will try again: no manifest was
    submitted with it, and all before it is whole."""
    journal = _journal(layout)
    others = plans.parts(layout, stage)
    is_last = part > 0 and tuple(n for n in others if n != part) == tuple(range(part))
    if not is_last or (stage, part) in journal.submitted or not journal.retried:
        return False
    sha256_of = {plans.read_header(layout, stage, n)["manifest_sha256"] for n in range(part)}
    if header is not None and header["manifest_sha256"] not in sha256_of:
        return False
    rules = [one.retry for manifest in _manifests(layout) for one in manifest.stages if one.name == stage]
    return bool(rules) and set(journal.retried) <= set(rules[0])


def _put_aside(layout: Layout, stage: str, part: int) -> None:
    """A part of retries with the records of its blocks: the earlier attempts count until `resume` has tried again."""
    paths = [layout.plan_header(stage, part), layout.plan_rows(stage, part)]
    paths += [layout.summaries(stage, *place) for place in sorted(published(layout, stage)) if place[0] == part]
    folder = next_folder(layout)
    for path in paths:
        if path.exists():
            target = folder / path.relative_to(layout.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)


def _left_header(layout: Layout, stage: str, part: int) -> dict[str, Any] | None:
    try:
        return plans.read_header(layout, stage, part)
    except Damage:
        return None


def _left_rows(layout: Layout, stage: str, part: int) -> pa.Table | None:
    try:
        return plans.read_rows(layout, stage, part)
    except Damage:
        return None


def _agrees_with_rows(header: Mapping[str, Any], rows: pa.Table, part: int) -> bool:
    own = pc.sum(pc.equal(rows.column("part"), part)).as_py() or 0
    return rows.num_rows == header["n_runs"] and own == header["n_new"]


def _manifests(layout: Layout) -> Iterator[Manifest]:
    """The manifest in force, then earlier versions, the latest first; those that cannot be read are passed over."""
    seen = set()
    for path in (layout.manifest, *reversed(history(layout))):
        try:
            text = path.read_bytes()
            if text not in seen:
                yield with_files(layout, text, source=str(path))
            seen.add(text)
        except (CampaignError, OSError):
            continue


def _planned(layout: Layout, manifest: Manifest, stage: Stage, *, before: int | None) -> plans.PlanPart:
    source = follows(stage)
    if source is not None and not _has_rows(layout, source):
        reduce(layout, stages=[source])
    return placed(planned(layout, manifest, stage, before=before), layout, manifest.kept)


def _has_rows(layout: Layout, stage: str) -> bool:
    try:
        return pq.read_table(layout.table, columns=["stage"], filters=[("stage", "=", stage)]).num_rows > 0
    except (OSError, pa.ArrowException):
        return False


def _contradiction(
    layout: Layout, found: plans.PlanPart, part: int, header: Mapping[str, Any] | None, rows: pa.Table | None
) -> str | None:
    """What of a planned part is not what is left of the damaged one."""
    if found.part != part:
        return f"the parts before part {part} are not all there"
    if part and not found.header["n_new"] and not found.header["n_removed"]:
        return f"part {part} holds runs that were tried again, which the manifest does not name"
    if header is not None and _fixed(header) != _fixed(found.header):
        return "what it would plan today is not what the header says"
    is_sound = rows is not None and (header is None or fault_of_rows(layout, header) is None)
    if is_sound and rows is not None and not rows.equals(found.rows):
        return "what it would plan today is not what the rows say"
    for number, block in sorted(published(layout, found.stage)):
        if number != part:
            continue
        try:
            seen = [record.get("run_id") for record in read_block(layout, found.stage, part, block)]
        except (Damage, OSError):
            continue  # told of the summaries
        mask = pc.and_(pc.equal(found.rows["part"], part), pc.equal(found.rows["block"], block))
        if seen != found.rows.filter(mask).sort_by("row").column("run_id").to_pylist():
            return f"what it would plan today has other runs in block {block} than are published"
    return None


def _fixed(header: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in json.loads(json.dumps(header)).items() if name not in _FREE}


def _write(layout: Layout, found: plans.PlanPart, header: Mapping[str, Any] | None, event: Mapping[str, Any]) -> None:
    """Publish what is missing; a header that is left stays unless another pyarrow gives other bytes for the rows."""
    if header is None:
        at = datetime.fromtimestamp(event["t"], UTC).isoformat(timespec="seconds") if event else None
        plans.write_part(layout, replace(found, header={**found.header, "created_at": at}))
        return
    publish_bytes(layout.plan_rows(found.stage, found.part), plans.rows_bytes(found.rows))
    if fault_of_rows(layout, header) is not None:
        plans.write_part(layout, replace(found, header=header))


def rebuild_input(layout: Layout, finding: Finding) -> str | None:
    """A file under `inputs/`: one of a tree, the problem file next to the manifest, or which runs a run reads."""
    path = layout.root / finding.place
    tree = path.relative_to(layout.inputs).parts[0].removesuffix(".json")
    if tree in named_trees(layout):
        return put_back(layout, tree, path)
    try:
        beside = (layout.root / read_identity(layout).folder / path.name).read_bytes()
        if sha256(beside).hexdigest().startswith(path.parent.name):
            publish_bytes(path, beside)
            return None
    except OSError:
        pass  # planning looks for it wherever the manifest says
    reason = "the manifest names no such file"
    for manifest in _manifests(layout):
        for stage in manifest.stages:
            try:
                snapshots = _planned(layout, manifest, stage, before=None).snapshots
            except (CampaignError, OSError) as error:
                reason = str(error).partition("\n")[0]
                continue
            if finding.place in snapshots:
                publish_bytes(path, snapshots[finding.place])
                return None
    return f"it cannot be made again: {reason}"


def _journal(layout: Layout) -> Journal:
    journal = Journal.of(layout)
    journal.update()
    return journal
