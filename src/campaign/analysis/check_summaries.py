"""Published summaries against the plan: every run of a block, once, typed, at its own place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from campaign.analysis.check_programs import Declared
from campaign.analysis.finding import REBUILD, REDO, Finding
from campaign.errors import Damage
from campaign.reduce.blocks import parse_block
from campaign.reduce.schema import record_schema, result_schema
from campaign.store import plan
from campaign.store.layout import Layout
from campaign.store.plan_sums import fault_of_rows
from campaign.store.records import loads, read_json
from campaign.store.summaries import DIRECTORIES, published
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


def check_summaries(layout: Layout, stage: str, declared: Declared) -> Iterator[Finding | CheckedBlock]:
    """Findings, and every readable block for further checks.

    Args:
        layout, stage: where they lie.
        declared: by program, what `check_programs` could read.
    """
    done = published(layout, stage)
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
        if fault_of_rows(layout, header) is not None:
            continue
        blocks = _by_block(rows)
        for block in own:
            path = layout.summaries(stage, part, block).relative_to(layout.root).as_posix()
            if block not in blocks:
                yield _unplanned(path)
                continue
            program = blocks[block].column("program")[0].as_py()
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
    whole = plan.parts(layout, stage)
    for part, block in sorted(done):
        if part in whole:  # else the part is missing, which `check_plan` tells
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


def _check_block(layout: Layout, block: CheckedBlock, planned: pa.Table) -> Iterator[Finding | CheckedBlock]:
    path = block.path(layout)

    def wrong(message: str, place: str = path) -> Finding:
        return Finding(kind="summaries", place=place, message=message, repair=REDO, paths=(path,))

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
            yield wrong(f"run {run_id} appears more than once")
        if sorted(seen) == sorted(expected):
            yield wrong("the runs are not in the order of the plan")
        return
    for name in ("program", "part", "block", "row", "attempt"):
        if not results.column(name).equals(planned.column(name).combine_chunks().cast(result.field(name).type)):
            yield wrong(f"the column `{name}` is not what the plan says")
    yield from _check_folders(layout, block, data.splitlines())
    yield CheckedBlock(**{f: getattr(block, f) for f in block.__dataclass_fields__} | {"results": results})


def _check_folders(layout: Layout, block: CheckedBlock, lines: list[bytes]) -> Iterator[Finding]:
    """Layout "directories": the folders of the runs say what the records say, and can be made from them."""
    try:
        if read_json(layout.identity).get("layout") != DIRECTORIES:
            return
    except (FileNotFoundError, Damage):
        return
    for line in lines:
        record = loads(line)
        run_id = record["run_id"]
        for file in (layout.summary(run_id), layout.meta(run_id)):
            try:
                found = read_json(file)
            except FileNotFoundError:
                message = "missing, though its block is published"
            except Damage as error:
                message = error.message
            else:
                is_own = file == layout.summary(run_id) and _place(found) == _place(record)
                if found == record if is_own else _place(found)[0] == run_id:
                    continue  # a run of two stages, or of two attempts, has the folder of one of them
                message = f"not what {block.path(layout)} says" if is_own else f"is of run {_place(found)[0]}"
            place = file.relative_to(layout.root).as_posix()
            own = (block.path(layout),)
            yield Finding(kind="run folder", place=place, message=message, repair=REBUILD, paths=own)


def _place(document: Any) -> list[Any]:
    names = ("run_id", "stage", "part", "block")
    return [document.get(name) if isinstance(document, dict) else None for name in names]
