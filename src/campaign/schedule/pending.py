"""What is left to do: blocks of the latest plan that are not published, and new blocks for runs to be tried again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from campaign.errors import UnknownName, UsageError
from campaign.schedule.blocks import block_size, n_blocks, place_rows
from campaign.schedule.continuing import continues, has_more_steps
from campaign.schedule.placing import distinct_labels, in_order_of_appearance, place_columns
from campaign.store import plan
from campaign.store.layout import BlockTask, Layout
from campaign.store.plan import NO_ROW, OLD_ROW
from campaign.store.summaries import published

Entry = dict[str, Any]
Published = Callable[[Layout, str], set[tuple[int, int]]]


def planned_blocks(layout: Layout, stage: str) -> tuple[BlockTask, ...]:
    """The blocks that hold the runs of a stage's latest plan, by part and block."""
    part = plan.latest_part(layout, stage)
    if part is None:
        return ()
    header = plan.read_header(layout, stage, part)
    if header["n_new"] == header["n_runs"]:
        numbers = (b for p in header["programs"].values() for b in _block_numbers(p))
        return tuple(BlockTask(stage, part, block) for block in sorted(numbers))
    rows = plan.read_rows(layout, stage, part, columns=["part", "block"])
    keys = rows.column("part").to_numpy().astype(np.int64) << 32 | rows.column("block").to_numpy()
    return tuple(BlockTask(stage, int(key >> 32), int(key & 0xFFFFFFFF)) for key in np.unique(keys))


def _block_numbers(program: dict[str, Any]) -> range:
    return range(program["first_block"], program["first_block"] + program["n_blocks"])


def pending(layout: Layout, stage: str, *, published: Published = published) -> tuple[BlockTask, ...]:
    """The blocks of a stage's latest plan that are not published. One directory listing; never a look at each run."""
    done = published(layout, stage)
    return tuple(task for task in planned_blocks(layout, stage) if (task.part, task.block) not in done)


def block_sizes(layout: Layout, stage: str) -> dict[BlockTask, int]:
    """How many runs of a stage's latest plan each block holds."""
    part = plan.latest_part(layout, stage)
    if part is None:
        return {}
    rows = plan.read_rows(layout, stage, part, columns=["part", "block"])
    keys = rows.column("part").to_numpy().astype(np.int64) << 32 | rows.column("block").to_numpy()
    found, counts = np.unique(keys, return_counts=True)
    return {BlockTask(stage, int(k >> 32), int(k & 0xFFFFFFFF)): int(n) for k, n in zip(found, counts, strict=True)}


def finished_runs(layout: Layout, stage: str, run_ids: Iterable[str]) -> list[str]:
    """Those of the runs whose latest attempt is published: the others are planned again already and have not run."""
    part = plan.latest_part(layout, stage)
    if part is None:
        return []
    rows = plan.read_rows(layout, stage, part, columns=["run_id", "part", "block"])
    rows = rows.filter(pc.is_in(rows.column("run_id"), value_set=pa.array(list(run_ids), type=pa.string())))
    done = published(layout, stage)
    places = zip(*(rows.column(name).to_pylist() for name in ("run_id", "part", "block")), strict=True)
    return [run_id for run_id, *place in places if tuple(place) in done]


def runs_of(layout: Layout, stage: str, tasks: Iterable[BlockTask]) -> list[str]:
    """Run ids of some blocks of a stage's latest plan."""
    part = plan.latest_part(layout, stage)
    if part is None:
        return []
    wanted = {(task.part, task.block) for task in tasks}
    rows = plan.read_rows(layout, stage, part, columns=["run_id", "part", "block"])
    places = zip(*(rows.column(name).to_pylist() for name in ("run_id", "part", "block")), strict=True)
    return [run_id for run_id, *place in places if tuple(place) in wanted]


def replan_failed(
    layout: Layout,
    stage: str,
    run_ids: Iterable[str],
    *,
    change: Callable[[Entry], Entry] = lambda entry: entry,
    is_attempt: bool = True,
) -> plan.PlanPart:
    """A new part in which the named runs get new blocks and one attempt more; all others keep their places.

    The caller writes it (`store.plan.write_part`). Ids stay; the newest published summary of an id counts.

    Args:
        layout, stage: of the campaign.
        run_ids: which runs.
        change: the header entry of each program, as the runs have it from now on (more steps, smaller blocks).
        is_attempt: the runs have been tried; False where only their workers were lost.

    Raises:
        UsageError: the stage has no plan, or no run is named.
        UnknownName: an id that the latest plan does not hold.
    """
    latest = plan.latest_part(layout, stage)
    if latest is None:
        raise UsageError(f"the stage `{stage}` has no plan", hint="submit it first: `campaign submit`")
    old = plan.read_part(layout, stage, latest)
    wanted = pa.array(list(dict.fromkeys(run_ids)), type=pa.string())
    ids = old.rows.column("run_id").combine_chunks()
    unknown = wanted.filter(pc.invert(pc.is_in(wanted, value_set=ids)))
    if len(unknown):
        raise UnknownName(f"{len(unknown)} runs are not in the plan of `{stage}`, the first is {unknown[0].as_py()}")
    if len(wanted) == 0:
        raise UsageError("no run to try again")
    again = pc.is_in(ids, value_set=wanted).to_numpy(zero_copy_only=False)
    number = latest + 1
    rows, programs = _again(layout, stage, old.rows, again, number, change, is_attempt)
    header = {
        **old.header,
        "part": number,
        "created_at": None,
        "n_new": int(again.sum()),
        "n_kept": int((~again).sum()),
        "n_removed": 0,
        "programs": programs,
    }
    return plan.PlanPart(header=header, rows=rows)


def _again(
    layout: Layout,
    stage: str,
    rows: pa.Table,
    again: np.ndarray,
    number: int,
    change: Callable[[Entry], Entry],
    is_attempt: bool,
) -> tuple[pa.Table, dict[str, Any]]:
    encoded = rows.column("program").combine_chunks().cast(pa.string()).dictionary_encode()
    codes, names = encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()
    used, program = in_order_of_appearance(codes[again])
    counts = np.bincount(program, minlength=len(used)).tolist()
    entries = plan.programs(layout, stage)
    before = [entries[names[k]] for k in used.tolist()]
    old = [change(entry) for entry in before]
    sizes = [block_size(n, entry["block_size"]) for n, entry in zip(counts, old, strict=True)]
    row, block, first_block = place_rows(program, np.array(sizes, dtype=np.int64))
    labels = distinct_labels([f"{names[k].partition('-')[0]}-{number}" for k in used.tolist()])  # of two earlier parts
    place = {name: rows.column(name).to_numpy().astype(np.int64) for name in ("part", "block", "row", "attempt")}
    if OLD_ROW in rows.column_names:
        place[OLD_ROW] = rows.column(OLD_ROW).to_numpy().astype(np.int64)
    for i, (entry, earlier) in enumerate(zip(old, before, strict=True)):
        if earlier.get("keep_state") and has_more_steps(entry, earlier):
            own = np.flatnonzero(again)[program == i]
            place.setdefault(OLD_ROW, np.full(len(codes), NO_ROW))[own] = place["row"][own]
            old[i] = entry | {"continues": continues(names[used[i]], earlier, int(place["part"][own[0]]))}
    place["part"][again], place["block"][again], place["row"][again] = number, block, row
    place["attempt"][again] += is_attempt
    merged = codes.astype(np.int64) + len(labels)
    merged[again] = program
    for name, column in place_columns(merged, [*labels, *names], place).items():
        index = rows.schema.get_field_index(name)
        rows = rows.append_column(name, column) if index < 0 else rows.set_column(index, name, column)
    changes = zip(labels, old, counts, sizes, first_block.tolist(), strict=True)
    return rows, {
        label: {**entry, "n_rows": n, "block_size": size, "first_block": first, "n_blocks": n_blocks(n, size)}
        for label, entry, n, size, first in changes
    }
