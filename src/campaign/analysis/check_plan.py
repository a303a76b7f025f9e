"""Plans, their programs and the files that they were planned from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from campaign.analysis.check_kept import check_tree, tree_of, trees_of
from campaign.analysis.finding import NONE, REBUILD, Finding
from campaign.analysis.journal import Journal
from campaign.errors import Damage
from campaign.store import plan
from campaign.store.layout import Layout
from campaign.store.plan_sums import fault_of_rows
from campaign.store.summaries import published

_PLACE = ["run_id", "program", "part", "block", "row"]


def stages_on_disk(layout: Layout, journal: Journal) -> list[str]:
    """Stages that have a plan, or had one: by name."""
    folders = [layout.plan_folder("x").parent, layout.summaries_folder("x").parent]
    found = {p.name for folder in folders if folder.is_dir() for p in folder.iterdir() if p.is_dir()}
    return sorted(found | {stage for stage, _ in journal.submitted})


def check_plan(layout: Layout, stage: str, journal: Journal) -> Iterator[Finding]:
    """Headers against rows, every part of a stage; snapshots and data files against their hashes."""
    whole = set(plan.parts(layout, stage))
    for part in sorted(_known_parts(layout, stage, journal) - whole):
        for path in (layout.plan_header(stage, part), layout.plan_rows(stage, part)):
            if not path.exists():
                place = path.relative_to(layout.root).as_posix()
                message = f"missing, though part {part} of the plan of stage `{stage}` was submitted"
                yield Finding(kind="plan", place=place, message=message, repair=REBUILD)
    for part in sorted(whole):
        header = None
        for place, message in _faults(layout, stage, part):
            yield Finding(kind="plan", place=place, message=message, repair=REBUILD)
        try:
            header = plan.read_header(layout, stage, part)
        except Damage:
            continue
        yield from check_inputs(layout, header, layout.plan_header(stage, part).relative_to(layout.root).as_posix())


def _known_parts(layout: Layout, stage: str, journal: Journal) -> set[int]:
    """Parts that were whole once: their header is there, blocks of them are published, or the journal has them.

    Rows alone are what a process leaves that ends before it writes the header: no plan.
    """
    folder = layout.plan_folder(stage)
    headers = {int(p.stem) for p in folder.glob("*.json") if p.stem.isdigit()} if folder.is_dir() else set()
    blocks = {part for part, _ in published(layout, stage)}
    return headers | blocks | {part for name, part in journal.submitted if name == stage}


def _faults(layout: Layout, stage: str, part: int) -> Iterator[tuple[str, str]]:
    """(place, message) for the header and the rows of a part."""
    header_path, rows_path = layout.plan_header(stage, part), layout.plan_rows(stage, part)
    place = rows_path.relative_to(layout.root).as_posix()
    try:
        header = plan.read_header(layout, stage, part)
    except Damage as error:
        yield header_path.relative_to(layout.root).as_posix(), error.message
        header = None
    try:
        fault = None if header is None else fault_of_rows(layout, header)
        rows = plan.read_rows(layout, stage, part, columns=_PLACE).combine_chunks()
    except Damage as error:
        yield place, error.message
        return
    if fault is not None:
        yield place, fault
    elif header is not None:
        yield from ((place, message) for message in _contradictions(header, rows, part))


def _contradictions(header: Mapping[str, Any], rows: pa.Table, part: int) -> Iterator[str]:
    if rows.num_rows != header["n_runs"]:
        yield f"{rows.num_rows} rows; the header says {header['n_runs']}"
    n_distinct = pc.count_distinct(rows.column("run_id")).as_py()
    if n_distinct != rows.num_rows:
        yield f"{rows.num_rows - n_distinct} run ids appear twice"
    own = rows.filter(pc.equal(rows.column("part"), part))
    program = own.column("program").cast(pa.string())
    counts = {c["values"]: c["counts"] for c in pc.value_counts(program).to_pylist()}
    for name, entry in header["programs"].items():
        if counts.get(name, 0) != entry["n_rows"]:
            yield f"program {name} has {counts.get(name, 0)} rows; the header says {entry['n_rows']}"
    for name in sorted(counts.keys() - header["programs"].keys()):
        yield f"program {name} is not in the header"


def check_inputs(layout: Layout, header: Mapping[str, Any], place: str) -> Iterator[Finding]:
    """The files that the runs of a part read; for those in trees see `check_kept`. Those in the campaign can be made
    again, a person's own cannot."""
    files: dict[Path, str] = {}
    trees = trees_of(header)

    def is_kept(path: str) -> bool:
        return tree_of(path) in trees

    for entry in header["programs"].values():
        for given in (entry.get("inputs") or {}).values():
            if not is_kept(given["path"]):
                files[layout.root / given["path"]] = given["sha256"]
        for copied in (entry.get("module"), entry.get("gather")):
            file = Path(copied["file"]) if copied else None
            if file is not None and not file.is_absolute() and not is_kept(file.as_posix()):
                files[layout.root / file] = file.parent.name  # inputs/<beginning of the hash>/<name>
    for path, expected in files.items():
        is_ours = path.is_relative_to(layout.root)
        where = path.relative_to(layout.root).as_posix() if is_ours else str(path)
        repair = REBUILD if is_ours else NONE
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            message = f"needed by {place}; cannot be read: {error.strerror}; restore that file"
            yield Finding(kind="input", place=where, message=message, repair=repair)
            continue
        if not found.startswith(expected):
            message = f"has hash {found[:16]}…, and was planned by {place} with {expected[:16]}…; restore that file"
            yield Finding(kind="input", place=where, message=message, repair=repair)


def why_not_again(layout: Layout, stage: str, part: int) -> str | None:
    """Why blocks of a part could not be computed again now; None where they could."""
    try:
        header = plan.read_header(layout, stage, part)
        fault = fault_of_rows(layout, header)
        plan.read_rows(layout, stage, part, columns=_PLACE)
    except (Damage, OSError) as error:
        return str(error)
    if fault is not None:
        return f"{layout.plan_rows(stage, part)}: {fault}"
    place = layout.plan_header(stage, part).relative_to(layout.root).as_posix()
    kept = (finding for tree in sorted(trees_of(header)) for finding in check_tree(layout, tree))
    found = chain(check_inputs(layout, header, place), kept)
    return next((f"{finding.place} {finding.message}" for finding in found), None)
