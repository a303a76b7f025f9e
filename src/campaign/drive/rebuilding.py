"""Damaged files made again from others. Each function writes and returns None, or says why it cannot be."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Any

from campaign.analysis.check_foundation import history
from campaign.analysis.check_groups import faults
from campaign.analysis.check_programs import Declared, check_programs
from campaign.analysis.finding import Finding
from campaign.analysis.journal import Journal
from campaign.errors import Damage
from campaign.store import plan
from campaign.store.atomic import publish_bytes
from campaign.store.checksum import FIELD, seal, sealed_line
from campaign.store.claim import identity_in, read_identity, write_identity
from campaign.store.events import blank
from campaign.store.layout import BlockTask, Layout
from campaign.store.records import dumps, dumps_pretty, loads, read_json
from campaign.store.summaries import read_block

_SUMMARIES = re.compile(r"summaries/([^/]+)/(\d+)-(\d+)\.jsonl")


def rebuild_identity(layout: Layout, finding: Finding) -> str | None:
    """`campaign.json` from the journal: every driver writes down the identity with which it begins."""
    known = identity_in((_journal(layout).driver or {}).get("identity"))
    if known is None:
        return (
            "no journal has a copy of it, and its id and the folder of the manifest are lost; "
            f"`campaign submit MANIFEST -d {layout.root}` with the same manifest writes a new one and continues"
        )
    write_identity(layout, known)
    return None


def rebuild_manifest(layout: Layout, finding: Finding) -> str | None:
    """The manifest from its latest version under `history/`, or the other way round."""
    damaged = layout.root / finding.place
    versions = history(layout)
    source = layout.manifest if damaged != layout.manifest else versions[-1] if versions else None
    text = None if source is None else _json_text(source)
    known = (_journal(layout).driver or {}).get("manifest")
    if text is None or (known is not None and sha256(text).hexdigest() != known):
        return (
            "the other copy of it is damaged too, so what was asked for is lost; "
            f"`campaign submit MANIFEST -d {layout.root}` with the original manifest continues"
        )
    publish_bytes(damaged, text)
    return None


def _json_text(path: Path) -> bytes | None:
    try:
        text = path.read_bytes()
        return text if isinstance(loads(text), dict) else None
    except (OSError, ValueError):
        return None


def rebuild_group(layout: Layout, finding: Finding) -> str | None:
    """Metadata and coordinates of a trace group from what its program declares and the plan."""
    folders = finding.place.split("/")
    stage = folders[1] if len(folders) > 2 else _any_stage(layout)
    declared: Declared = {}
    list(check_programs(layout, stage, declared))
    for path, data, _ in faults(layout, stage, declared):
        if path == layout.root / finding.place:
            publish_bytes(path, data)
    return None


def _any_stage(layout: Layout) -> str:
    return next(path.name for path in sorted(layout.traces.iterdir()) if path.is_dir())


def rebuild_run_folder(layout: Layout, finding: Finding) -> str | None:
    """`summary.json` from the record in its block's summaries, `meta.json` from plan and program."""
    path, task = layout.root / finding.place, _task(finding.paths[0])
    run_id = path.parent.name
    if path == layout.summary(run_id):
        records = read_block(layout, task.stage, task.part, task.block)
        publish_bytes(path, dumps_pretty(next(record for record in records if record["run_id"] == run_id)))
    else:
        publish_bytes(path, dumps_pretty(seal(_meta(layout, task, run_id))))
    return None


def _meta(layout: Layout, task: BlockTask, run_id: str) -> dict[str, Any]:
    """What a run's meta.json says."""
    from campaign.float64 import use_float64
    from campaign.work.jax_runtime import start_jax

    start_jax()
    use_float64()
    from campaign.work.declaration import versions  # JAX is set up before it is used
    from campaign.work.planned_block import load_block
    from campaign.work.starts import start_of

    block = load_block(layout, task, read_identity(layout).id)
    try:
        known = read_json(layout.program(task.stage, block.program))["versions"]
    except (FileNotFoundError, Damage):
        known = versions()
    return block.only(run_id).metas(known, {0: start_of(block, run_id)})[0]


def rebuild_summaries(layout: Layout, finding: Finding) -> str | None:
    """The summaries of a block from the folders of its runs, where each run has one and all are whole."""
    path = finding.place.partition(",")[0]
    task = _task(path)
    rows = plan.read_block(layout, task.stage, task.part, task.block).sort_by("row")
    lines = []
    for run_id in rows.column("run_id").to_pylist():
        try:
            record = read_json(layout.summary(run_id))
        except (FileNotFoundError, Damage):
            return "its runs have no whole folders"
        place = [record.get(name) for name in ("run_id", "stage", "part", "block")]
        if FIELD not in record or place != [run_id, task.stage, task.part, task.block]:
            return "its runs have no folders of this attempt"
        lines.append(sealed_line(dumps({name: value for name, value in record.items() if name != FIELD})))
    if not lines:
        return "no plan has this block"
    publish_bytes(layout.root / path, b"\n".join(lines) + b"\n")
    return None


def rebuild_events(layout: Layout, finding: Finding) -> str | None:
    """A journal without the lines that are not events."""
    blank(layout.root / finding.place)
    return None


def _task(path: str) -> BlockTask:
    match = _SUMMARIES.fullmatch(path)
    if match is None:
        raise Damage(f"{path} is not the name of a block's summaries")
    return BlockTask(match[1], int(match[2]), int(match[3]))


def _journal(layout: Layout) -> Journal:
    journal = Journal.of(layout)
    journal.update()
    return journal
