"""What a plan will write: files and bytes, from the shapes that each program's calls give. Nothing is compiled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from campaign.errors import InvalidValue
from campaign.store.layout import Layout
from campaign.store.plan import PlanPart
from campaign.store.trace_policy import trace_policy
from campaign.work.jax_runtime import start_jax

_SUMMARY_BYTES = 900  # of one line of summaries, measured on four-parameter fits
_TRIALS = 16  # runs of a program that are built when its first one cannot be
_META_BYTES = 1600  # of one meta.json


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Upper bounds for a stage: chunks that no run reaches are never written, and what is written is compressed.

    Attributes:
        n_files: files of traces, summaries and kept states.
        trace_bytes: of trace arrays, before compression.
        summary_bytes: of summaries and, with a folder a run, its files.
    """

    n_files: int
    trace_bytes: int
    summary_bytes: int


def cost_of(part: PlanPart, *, has_folders: bool, layout: Layout | None = None, ranks_per_block: int = 1) -> Cost:
    """Files and bytes of the runs that a plan part adds.

    Args:
        part: as planned, from the files next to the manifest; not necessarily on disk.
        has_folders: layout "directories".
        layout: of the campaign, for programs that read earlier runs; their traces are not counted without it.
        ranks_per_block: processes that are to share a fit.

    Raises:
        InvalidValue: none of a program's runs that were tried can be built, or a gang could not share its fits.
    """
    start_jax()
    n_new, n_blocks = part.header["n_new"], sum(p["n_blocks"] for p in part.header["programs"].values())
    n_states = sum(p["n_blocks"] for p in part.header["programs"].values() if p.get("keep_state"))
    files, trace_bytes = n_blocks + n_states, 0
    if n_new and (ranks_per_block > 1 or not trace_policy(part.header["trace"]).is_nothing):
        for name, entry in part.header["programs"].items():
            program_files, program_bytes = _program_cost(part, name, entry, layout, ranks_per_block)
            files, trace_bytes = files + program_files, trace_bytes + program_bytes
    summary_bytes = n_new * _SUMMARY_BYTES
    if has_folders:
        files, summary_bytes = files + 2 * n_new, summary_bytes + n_new * (_SUMMARY_BYTES + _META_BYTES)
    return Cost(n_files=files, trace_bytes=trace_bytes, summary_bytes=summary_bytes)


def _program_cost(
    part: PlanPart, name: str, entry: Mapping[str, Any], layout: Layout | None, ranks_per_block: int
) -> tuple[int, int]:
    from campaign.engines.passes import goes_by_passes
    from campaign.engines.programs import shapes_for
    from campaign.work.building import build_block
    from campaign.work.declaration import trace_spec
    from campaign.work.gang.leader import no_rows
    from campaign.work.gathering import reader
    from campaign.work.planned_block import OWN, is_varying, problem_plugin, recipe_of

    policy = trace_policy(part.header["trace"])
    problem = problem_plugin(Path(), entry)
    file = part.snapshots.get((entry.get("gather") or {}).get("file", ""))
    gather = reader(layout, entry, problem, file) if layout is not None else None
    recipe = replace(recipe_of(entry, part.header["seed"], problem, gather=gather), every=policy.every)
    reasons: list[str] = []
    for row in _some_rows(part, name):
        columns = {k: [v] for k, v in row.items() if is_varying(part.header, k) or k in OWN}
        built = build_block(recipe, columns, [row["run_id"]])
        if built.groups:
            break
        reasons += [] if row.get("blocked") else [one.message for one in built.failures.values()]
    else:
        if reasons:
            raise InvalidValue(f"the problem `{entry['problem']['name']}` cannot be built: {reasons[0]}")
        return 0, 0
    (group,) = built.groups
    if ranks_per_block > 1 and not goes_by_passes(group.batch.work):
        raise no_rows(f"the problem `{entry['problem']['name']}` with the engine `{entry['engine']['name']}`")
    spec = trace_spec(
        shapes_for(group.batch),
        group,
        policy,
        capacity=entry["block_size"],
        n_rows=entry["n_rows"],
        run_ids=lambda: np.array([]),
        attributes={},
    )
    files = bytes_ = 0
    for field in spec.fields:
        steps = math.ceil(field.shape[0] / field.chunk[0]) if field.shape else 1
        files += math.ceil(entry["n_rows"] / field.run_chunk) * steps + 1
        bytes_ += entry["n_rows"] * int(np.prod(field.shape, dtype=np.int64)) * np.dtype(field.dtype).itemsize
    return files + 2 * len(spec.coordinates) + 1, bytes_


def _some_rows(part: PlanPart, program: str) -> list[dict[str, Any]]:
    """A few of a program's rows, the first of them first: a run that cannot be built says nothing of the others."""
    import pyarrow.compute as pc

    rows = np.flatnonzero(pc.equal(part.rows.column("program").cast("string"), program).to_numpy())
    return part.rows.take(rows[np.linspace(0, len(rows) - 1, min(_TRIALS, len(rows)), dtype=int)]).to_pylist()
