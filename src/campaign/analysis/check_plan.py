"""Plans, their programs and the files that they were planned from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from campaign.analysis.finding import Finding
from campaign.errors import Damage
from campaign.store import plan
from campaign.store.kept import read_kept
from campaign.store.layout import Layout

_PLACE = ["run_id", "program", "part", "block", "row"]


def check_plan(layout: Layout, stage: str) -> Iterator[Finding]:
    """Headers against rows, every part of a stage; snapshots and data files against their hashes."""
    folder = layout.plan_folder(stage)
    whole = set(plan.parts(layout, stage))
    for path in sorted(folder.iterdir()):
        place = path.relative_to(layout.root).as_posix()
        if path.suffix == ".json" and path.stem.isdigit() and int(path.stem) not in whole:
            yield Finding(kind="plan", place=place, message="a header without rows; submit the manifest again")
    for part in sorted(whole):
        place = layout.plan_rows(stage, part).relative_to(layout.root).as_posix()
        try:
            header = plan.read_header(layout, stage, part)
            rows = plan.read_rows(layout, stage, part, columns=_PLACE).combine_chunks()
        except Damage as error:
            yield Finding(kind="plan", place=place, message=error.message)
            continue
        for message in _contradictions(header, rows, part):
            yield Finding(kind="plan", place=place, message=message)
        yield from _check_inputs(layout, header, place)


def _contradictions(header: Mapping[str, Any], rows: pa.Table, part: int) -> Iterator[str]:
    if rows.num_rows != header["n_runs"]:
        yield f"{rows.num_rows} rows; the header says {header['n_runs']}"
    n_distinct = pc.count_distinct(rows.column("run_id")).as_py()
    if n_distinct != rows.num_rows:
        yield f"{rows.num_rows - n_distinct} run ids stand twice"
    own = rows.filter(pc.equal(rows.column("part"), part))
    program = own.column("program").cast(pa.string())
    counts = {c["values"]: c["counts"] for c in pc.value_counts(program).to_pylist()}
    for name, entry in header["programs"].items():
        if counts.get(name, 0) != entry["n_rows"]:
            yield f"program {name} has {counts.get(name, 0)} rows; the header says {entry['n_rows']}"
    for name in sorted(counts.keys() - header["programs"].keys()):
        yield f"program {name} is not in the header"


def _check_inputs(layout: Layout, header: Mapping[str, Any], place: str) -> Iterator[Finding]:
    files: dict[Path, str] = {}
    for entry in header["programs"].values():
        for given in (entry.get("inputs") or {}).values():
            files[layout.root / given["path"]] = given["sha256"]
        kept = read_kept(layout.root / entry["module"].get("folder", "")) if entry.get("module") else None
        if kept is not None:
            files |= {file.source: file.sha256 for file in kept.files.values()}
        elif entry.get("module"):
            file = Path(entry["module"]["file"])
            files[layout.root / file] = file.parent.name  # inputs/<beginning of the hash>/<name>
        if entry.get("gather"):
            file = Path(entry["gather"]["file"])
            files[layout.root / file] = file.parent.name
    for path, expected in files.items():
        where = path.relative_to(layout.root).as_posix() if path.is_relative_to(layout.root) else str(path)
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            yield Finding(kind="input", place=where, message=f"needed by {place}; cannot be read: {error.strerror}")
            continue
        if not found.startswith(expected):
            message = f"has hash {found[:16]}…, and was planned by {place} with {expected[:16]}…; put that file back"
            yield Finding(kind="input", place=where, message=message)
