"""Published summaries against the plan: every run of a block, once, typed, at its own place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from campaign.analysis.finding import NONE, REDO, Finding
from campaign.errors import Damage
from campaign.reduce.blocks import parse_block
from campaign.reduce.schema import record_schema, result_schema
from campaign.store import plan
from campaign.store.layout import Layout
from campaign.store.records import read_json
from campaign.store.summaries import published
from campaign.store.trace_policy import TracePolicy, trace_policy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckedBlock:
    """A published block whose summaries can be read.

    Attributes:
        stage, part, block: its address.
        program: name; `declared` is its declaration, or None where that is missing.
        entry: of the program in the plan header; `trace`: what the stage records.
        first_row: of the block in the program's arrays.
        results: rows as `result_schema` has them.
    """

    stage: str
    part: int
    block: int
    program: str
    declared: Mapping[str, Any] | None
    entry: Mapping[str, Any]
    trace: TracePolicy
    first_row: int
    results: pa.RecordBatch

    def path(self, layout: Layout) -> str:
        return layout.summaries(self.stage, self.part, self.block).relative_to(layout.root).as_posix()


_OK = b'"status":"ok"'


def check_summaries(layout: Layout, stage: str) -> Iterator[Finding | CheckedBlock]:
    """Findings, and every readable block for further checks."""
    done = published(layout, stage)
    declared: dict[str, Mapping[str, Any] | None] = {}
    for part in plan.parts(layout, stage):
        own = sorted(block for number, block in done if number == part)
        done -= {(part, block) for block in own}
        try:
            header = plan.read_header(layout, stage, part)
            rows = plan.read_rows(
                layout, stage, part, own=True, columns=["run_id", "program", "part", "block", "row", "attempt"]
            )
        except Damage:
            continue  # told by `check_plan`
        blocks = _by_block(rows)
        for block in own:
            path = layout.summaries(stage, part, block).relative_to(layout.root).as_posix()
            if block not in blocks:
                yield _unplanned(path)
                continue
            program = blocks[block].column("program")[0].as_py()
            if program not in declared:
                document, finding = _declaration(layout, stage, program, path)
                if finding is not None:
                    yield finding
                if document is not None or finding is not None:
                    declared[program] = document
            checked = CheckedBlock(
                stage=stage,
                part=part,
                block=block,
                program=program,
                declared=declared.get(program),
                entry=header["programs"].get(program, {}),
                trace=trace_policy(header.get("trace", True)),
                first_row=pc.min(blocks[block].column("row")).as_py(),
                results=pa.RecordBatch.from_pylist([], schema=result_schema(None)),
            )
            yield from _check_block(layout, checked, blocks[block])
    for part, block in sorted(done):
        yield _unplanned(layout.summaries(stage, part, block).relative_to(layout.root).as_posix())


def _unplanned(path: str) -> Finding:
    return Finding(kind="summaries", place=path, message="no plan has this block", repair=REDO, paths=(path,))


def _by_block(rows: pa.Table) -> dict[int, pa.Table]:
    if not rows.num_rows:
        return {}
    program = rows.column("program").cast(pa.string())
    rows = rows.set_column(rows.column_names.index("program"), "program", program)
    rows = rows.sort_by([("block", "ascending"), ("row", "ascending")]).combine_chunks()
    found, begin = {}, 0
    for count in pc.value_counts(rows.column("block")).to_pylist():
        found[count["values"]] = rows.slice(begin, count["counts"])
        begin += count["counts"]
    return found


def _declaration(
    layout: Layout, stage: str, program: str, path: str
) -> tuple[Mapping[str, Any] | None, Finding | None]:
    """The program's declaration, or what is wrong with it. A block whose runs have all failed may have made none."""
    file = layout.program(stage, program)
    place = file.relative_to(layout.root).as_posix()
    try:
        return read_json(file), None
    except FileNotFoundError:
        if (layout.root / path).exists() and _OK not in (layout.root / path).read_bytes():
            return None, None
        message, paths = "missing, though runs of it are published; redoing one block writes it again", (path,)
    except Damage as error:
        message, paths = f"{error.message}; redoing one block writes it again", (place, path)
    return None, Finding(kind="program", place=place, message=message, repair=REDO, paths=paths)


def _check_block(layout: Layout, block: CheckedBlock, planned: pa.Table) -> Iterator[Finding | CheckedBlock]:
    path = block.path(layout)

    def wrong(message: str, place: str = path, kind: str = "summaries", repair: str = REDO) -> Finding:
        return Finding(kind=kind, place=place, message=message, repair=repair, paths=(path,) if repair == REDO else ())

    try:
        data = (layout.root / path).read_bytes()
    except FileNotFoundError:
        return
    result = result_schema(block.declared)
    results, damaged = parse_block(data, record_schema(block.declared), result, path)
    for found in damaged:
        yield wrong(f"run {found.run_id}: {found.message}" if found.run_id else found.message, found.place)
    if damaged:
        return
    seen = results.column("run_id").to_pylist()
    expected = planned.column("run_id").to_pylist()
    if seen != expected:
        for run_id in sorted(set(expected) - set(seen)):
            yield wrong(f"run {run_id} of this block is missing")
        for run_id in sorted(set(seen) - set(expected)):
            yield wrong(f"run {run_id} is not of this block")
        for run_id in sorted({r for r in seen if seen.count(r) > 1} if len(set(seen)) < len(seen) else ()):
            yield wrong(f"run {run_id} stands more than once")
        if sorted(seen) == sorted(expected):
            yield wrong("the runs are not in the order of the plan")
        return
    for name in ("program", "part", "block", "row", "attempt"):
        if not results.column(name).equals(planned.column(name).combine_chunks().cast(result.field(name).type)):
            yield wrong(f"the column `{name}` is not what the plan says")
    yield from _check_folders(layout, block, seen, wrong)
    yield CheckedBlock(**{f: getattr(block, f) for f in block.__dataclass_fields__} | {"results": results})


def _check_folders(layout: Layout, block: CheckedBlock, run_ids: list[str], wrong: Any) -> Iterator[Finding]:
    """Layout "directories": the run folders that were published before the block."""
    try:
        if read_json(layout.identity).get("layout") != "directories":
            return
    except (FileNotFoundError, Damage):
        return
    for run_id in run_ids:
        for file in (layout.summary(run_id), layout.meta(run_id)):
            place = file.relative_to(layout.root).as_posix()
            try:
                record = read_json(file)
            except FileNotFoundError:
                yield wrong("missing, though its block is published", place, "run folder")
            except Damage as error:
                yield wrong(error.message, place, "run folder")
            else:
                if record.get("run_id") != run_id:
                    yield wrong(f"is of run {record.get('run_id')}", place, "run folder", NONE)
