"""Where the runs of a plan part go: those planned before stay; the others get programs, blocks and rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from campaign.identity import digest
from campaign.manifest.model import Stage
from campaign.manifest.retry import keeps_state
from campaign.schedule.axes import Axes
from campaign.schedule.blocks import block_size, n_blocks, place_rows
from campaign.schedule.continuing import Earlier
from campaign.schedule.members import n_members
from campaign.schedule.resolve import Resolved, ResolvedStage
from campaign.store.plan import OLD_ROW
from campaign.store.previous import Previous


def old_places(run_ids: pa.Array, previous: Previous | None) -> pa.Table | None:
    """For each run its earlier place, nulls where there is none."""
    if previous is None:
        return None
    index = pc.index_in(run_ids, value_set=previous.places.column("run_id").combine_chunks())
    return previous.places.take(index)


def n_removed(run_ids: pa.Array, previous: Previous | None) -> int:
    """Runs of the latest part that are not among `run_ids`."""
    if previous is None:
        return 0
    return int(pc.sum(pc.invert(pc.is_in(previous.current, value_set=run_ids))).as_py() or 0)


def place_runs(
    stage: Stage, resolved: ResolvedStage, code: np.ndarray, old: pa.Table | None, part: int, earlier: Earlier
) -> tuple[dict[str, pa.Array], dict[str, Any]]:
    """Columns program, part, block, row, attempt (and `OLD_ROW`), and the header entries of this part's programs.

    Args:
        stage: for its keys `block`, `timeout_s` and `precision`.
        resolved: the groups of the stage.
        code: group of each run.
        old: earlier places, or None.
        part: number of this part.
        earlier: what new runs go on from.
    """
    n = len(code)
    is_new = are_new(n, old)
    members: dict[str, list[int]] = {}
    for k, group in enumerate(resolved.resolved):
        members.setdefault(structure_name(group, resolved.axes), []).append(k)
    names = list(members)
    program_of_group = np.empty(len(resolved.resolved), dtype=np.int64)
    for i, groups in enumerate(members.values()):
        program_of_group[groups] = i
    n_sources = len(earlier.programs) + 1  # a program is a structure and what it goes on from; the last is nothing
    kinds = program_of_group[code[is_new]] * n_sources + earlier.source[is_new] % n_sources
    kinds, program = in_order_of_appearance(kinds)
    used, sources = kinds // n_sources, [*earlier.programs, None]
    counts = np.bincount(program, minlength=len(used))
    groups_of = [[resolved.resolved[k] for k in members[names[i]]] for i in used.tolist()]
    sizes = [block_size(int(c), g[0].max_block, stage.block) for c, g in zip(counts, groups_of, strict=True)]
    row, block, first_block = place_rows(program, np.array(sizes, dtype=np.int64))
    labels = distinct_labels([names[i] + (f"-{part}" if part else "") for i in used.tolist()])
    entries = {
        label: program_entry(groups, int(counts[i]), sizes[i], int(first_block[i]))
        | {
            "timeout_s": stage.timeout_s,
            "precision": stage.precision,
            "keep_state": keeps_state(groups[0].engine, stage.keep_state, stage.retry),
        }
        | ({"continues": source} if source is not None else {})
        for i, (label, groups, source) in enumerate(
            zip(labels, groups_of, [sources[k] for k in (kinds % n_sources).tolist()], strict=True)
        )
    }
    place = {
        "part": np.full(n, part),
        "block": _spread(n, is_new, block),
        "row": _spread(n, is_new, row),
        "attempt": np.zeros(n, dtype=np.int64),
    }
    codes = _spread(n, is_new, program)
    if old is not None and not is_new.all():
        kept = old.filter(pa.array(~is_new))
        for name, values in place.items():
            values[~is_new] = kept.column(name).to_numpy()
        before = kept.column("program").combine_chunks().dictionary_encode()
        codes[~is_new] = before.indices.to_numpy(zero_copy_only=False) + len(labels)
        labels = [*labels, *before.dictionary.to_pylist()]
    if earlier.programs:
        place[OLD_ROW] = earlier.old_row
    return place_columns(codes, labels, place), entries


def place_columns(codes: np.ndarray, labels: Sequence[str], place: Mapping[str, np.ndarray]) -> dict[str, pa.Array]:
    """The Arrow columns of places: program as a dictionary, the others as int32."""
    programs = pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(labels, type=pa.string()))
    return {"program": programs} | {k: pa.array(v.astype(np.int32), type=pa.int32()) for k, v in place.items()}


def are_new(n: int, old: pa.Table | None) -> np.ndarray:
    """Which of n runs have no earlier place."""
    return np.ones(n, dtype=bool) if old is None else _nulls(old.column("run_id"))


def distinct_labels(labels: Sequence[str]) -> list[str]:
    """Names of programs, numbered where the same structure has several."""
    seen: Counter[str] = Counter()
    found = []
    for label in labels:
        seen[label] += 1
        found.append(label if seen[label] == 1 else f"{label}.{seen[label]}")
    return found


def in_order_of_appearance(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct values by first appearance, and each value's position among them."""
    distinct, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(distinct), dtype=np.int64)
    rank[order] = np.arange(len(distinct))
    return distinct[order], rank[inverse]


def _spread(n: int, where: np.ndarray, values: np.ndarray) -> np.ndarray:
    spread = np.zeros(n, dtype=np.int64)
    spread[where] = values
    return spread


def _nulls(column: pa.ChunkedArray) -> np.ndarray:
    return column.combine_chunks().is_null().to_numpy(zero_copy_only=False)


def structure_name(group: Resolved, axes: Axes) -> str:
    """12 hexadecimal digits of what is compiled in: options that do not vary, free parameters, versions, code."""
    document: dict[str, Any] = {
        kind: {key: value for key, value in options.items() if not axes.is_varying(f"{kind}.{key}")}
        for kind, options in (("problem", group.problem), ("engine", group.engine))
    }
    document["free"] = sorted(group.free) if group.free is not None else None
    document["versions"] = dict(group.versions)
    document["module"] = group.module and group.module.sha256
    if group.members is not None:
        document["n_members"] = n_members(group.members)  # what is gathered has a length
    return digest(document)[:12]


def program_entry(groups: Sequence[Resolved], n_rows: int, size: int, first_block: int) -> dict[str, Any]:
    """What the header says of a program; `groups` share its structure and may read different files."""
    one = groups[0]
    return {
        "problem": dict(one.problem),
        "free": list(one.free) if one.free is not None else None,
        "engine": dict(one.engine),
        "start": dict(one.start),
        "scale": dict(one.scale),
        "versions": dict(one.versions),
        "inputs": {name: dict(entry) for group in groups for name, entry in group.inputs.items()},
        "module": one.module and one.module.entry(),
        "n_rows": n_rows,
        "block_size": size,
        "first_block": first_block,
        "n_blocks": n_blocks(n_rows, size),
    }
