"""The plan on disk: a header (JSON) and the rows (Parquet) of each part of each stage. Written once, never edited.

Part n is the whole expansion of the stage at its n-th submission. Rows that an earlier part planned keep their program,
part, block and row; what is new or tried again belongs to part n. The header is written last: a part without one is not
there.
"""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from campaign.errors import Damage
from campaign.store.atomic import publish_bytes
from campaign.store.checksum import FIELD, fault_of, seal
from campaign.store.layout import Layout
from campaign.store.plan_sums import ROWS, sum_of

SCHEMA = "campaign.plan/1"
ROW_GROUP = 8_192  # a worker reads the groups that hold its block
PLACE = ("run_id", "program", "part", "block", "row", "attempt")
OLD_ROW = "old_row"  # column of a part that continues runs: the row of each in the program that its own goes on from
NO_ROW = -1  # there: the run begins


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanPart:
    """A part of a stage's plan.

    Attributes:
        header: what `plan/<stage>/<part>.json` holds.
        rows: what `plan/<stage>/<part>.parquet` holds.
        snapshots: files to keep with the campaign: path relative to its directory → content.
    """

    header: Mapping[str, Any]
    rows: pa.Table
    snapshots: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        return self.header["stage"]

    @property
    def part(self) -> int:
        return self.header["part"]


def write_part(layout: Layout, part: PlanPart) -> None:
    """Publish a part: snapshots, rows, then the header."""
    for name, content in part.snapshots.items():
        publish_bytes(layout.root / name, content)
    rows = rows_bytes(part.rows)
    publish_bytes(layout.plan_rows(part.stage, part.part), rows)
    header = dict(part.header) | {ROWS: sum_of(rows)}
    header["created_at"] = header.get("created_at") or datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps(seal(header), ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    publish_bytes(layout.plan_header(part.stage, part.part), text.encode())


def rows_bytes(rows: pa.Table) -> bytes:
    """The Parquet file of the rows of a part: the same bytes for the same rows and the same pyarrow."""
    buffer = io.BytesIO()
    dictionary = [f.name for f in rows.schema if not pa.types.is_floating(f.type) and f.name != "run_id"]
    # run ids are random: hexadecimal digits compress to half by any code; zstd does it in passing
    pq.write_table(rows, buffer, row_group_size=ROW_GROUP, compression="zstd", use_dictionary=dictionary)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def parts(layout: Layout, stage: str) -> tuple[int, ...]:
    """Numbers of the parts of a stage, ascending."""
    try:
        names = {path.name for path in layout.plan_folder(stage).iterdir()}
    except FileNotFoundError:
        return ()
    whole = (n[:-5] for n in names if n.endswith(".json") and n[:-5].isdigit() and n[:-5] + ".parquet" in names)
    return tuple(sorted(int(number) for number in whole))


def latest_part(layout: Layout, stage: str) -> int | None:
    """Number of the latest part, or None where the stage has no plan."""
    return max(parts(layout, stage), default=None)


def programs(layout: Layout, stage: str) -> dict[str, dict[str, Any]]:
    """Header entries of all programs of a stage, by name: kept runs point into earlier parts.

    Raises:
        Damage: a header cannot be read.
    """
    headers = [read_header(layout, stage, part) for part in parts(layout, stage)]
    return {name: entry for header in headers for name, entry in header["programs"].items()}


def read_header(layout: Layout, stage: str, part: int) -> dict[str, Any]:
    """Header of a part.

    Raises:
        Damage: missing, or not the header of that part.
    """
    path = layout.plan_header(stage, part)
    try:
        header = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Damage(f"the plan header {path} cannot be read: {error}", hint="run `campaign verify`") from error
    if not isinstance(header, dict) or header.get("schema") != SCHEMA or header.get("part") != part:
        raise Damage(f"{path} is not the header of part {part}", hint="run `campaign verify`")
    fault = fault_of(header)
    if fault is not None:
        raise Damage(f"the plan header {path} is damaged: {fault}", hint="run `campaign verify`")
    header.pop(FIELD, None)
    return header


def read_rows(
    layout: Layout,
    stage: str,
    part: int,
    *,
    columns: Iterable[str] | None = None,
    own: bool = False,
) -> pa.Table:
    """Rows of a part, in expansion order.

    Args:
        layout, stage, part: which part.
        columns: names; None for all.
        own: only rows placed by this part (new or tried again), not those kept from earlier parts.

    Raises:
        Damage: missing or not readable.
    """
    path = layout.plan_rows(stage, part)
    wanted = list(columns) if columns is not None else None
    with _reading(path), pq.ParquetFile(path) as file:
        return _own(file, part, wanted) if own else file.read(columns=wanted)


def read_block(layout: Layout, stage: str, part: int, block: int) -> pa.Table:
    """Rows of one block of a part: only the row groups that hold them are read, and kept for the block's neighbours.

    Raises:
        Damage: missing or not readable.
    """
    path = layout.plan_rows(stage, part)
    with _reading(path):
        state = path.stat()
        version = (state.st_ino, state.st_mtime_ns)
        pieces = []
        for group in _groups_of(path, version, part, block):
            rows = _row_group(path, version, group)
            pieces.append(rows.filter(pc.and_(pc.equal(rows["part"], part), pc.equal(rows["block"], block))))
        if not pieces:
            return pq.read_schema(path).empty_table()
        return pieces[0] if len(pieces) == 1 else pa.concat_tables(pieces, promote_options="permissive")


def program_run_ids(layout: Layout, stage: str, part: int, program: str) -> np.ndarray:
    """Ids of the runs of a program, in the order of their rows in its arrays.

    Raises:
        Damage: the rows are missing or not readable.
    """
    rows = read_rows(layout, stage, part, columns=["run_id", "program", "row"], own=True)
    own = rows.filter(pc.equal(rows.column("program").cast(pa.string()), program)).sort_by("row")
    return own.column("run_id").to_numpy()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise Damage(f"the plan {path} cannot be read: {error}", hint="run `campaign verify`") from error


def read_part(layout: Layout, stage: str, part: int) -> PlanPart:
    """Header and all rows of a part."""
    return PlanPart(header=read_header(layout, stage, part), rows=read_rows(layout, stage, part))


def _own(file: pq.ParquetFile, part: int, columns: list[str] | None) -> pa.Table:
    """The rows that a part placed itself."""
    pieces = []
    for group in range(file.metadata.num_row_groups):
        lowest, highest = _range(file, group, ("part",)).get("part", (part, part))
        if not lowest <= part <= highest:
            continue
        mask = pc.equal(file.read_row_group(group, columns=["part"], use_threads=False).column("part"), part)
        if pc.any(mask).as_py():
            pieces.append(file.read_row_group(group, columns=columns, use_threads=False).filter(mask))
    if pieces:
        return pa.concat_tables(pieces, promote_options="permissive")
    return file.schema_arrow.empty_table() if columns is None else file.schema_arrow.empty_table().select(columns)


def _groups_of(path: Path, version: tuple[int, int], part: int, block: int) -> list[int]:
    """Row groups that may hold a block."""
    wanted = {"part": part, "block": block}
    return [
        group
        for group, ranges in enumerate(_ranges(path, version))
        if all(lowest <= wanted[name] <= highest for name, (lowest, highest) in ranges.items())
    ]


_one_reader = threading.Lock()


@lru_cache(maxsize=4)
def _ranges(path: Path, version: tuple[int, int]) -> list[dict[str, tuple[int, int]]]:
    file = _opened(path, version)
    return [_range(file, group, ("part", "block")) for group in range(file.metadata.num_row_groups)]


@lru_cache(maxsize=4)
def _row_group(path: Path, version: tuple[int, int], group: int) -> pa.Table:
    with _one_reader:  # an open Parquet file cannot be shared between threads
        return _opened(path, version).read_row_group(group, use_threads=False)


@lru_cache(maxsize=4)
def _opened(path: Path, version: tuple[int, int]) -> pq.ParquetFile:
    """A rows file of this version, kept open; `version` is its inode and time."""
    return pq.ParquetFile(path)


def _range(file: pq.ParquetFile, group: int, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Smallest and largest value of columns in a row group, where its statistics tell."""
    metadata = file.metadata.row_group(group)
    found = {}
    for k in range(metadata.num_columns):
        column = metadata.column(k)
        if column.path_in_schema in names and column.statistics is not None and column.statistics.has_min_max:
            found[column.path_in_schema] = (column.statistics.min, column.statistics.max)
    return found
