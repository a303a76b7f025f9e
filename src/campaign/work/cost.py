"""What a plan will write: files and bytes, from the shapes that each program's calls give. Nothing is compiled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from campaign.problem.file import load_file_problem, split_name
from campaign.registry import PROBLEMS, ProblemPlugin, load
from campaign.store.plan import PlanPart
from campaign.store.trace_policy import trace_policy
from campaign.work.jax_runtime import start_jax

_SUMMARY_BYTES = 900  # of one line of summaries, measured on four-parameter fits
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


def cost_of(part: PlanPart, folder: Path, *, has_folders: bool) -> Cost:
    """Files and bytes of the runs that a plan part adds.

    Args:
        part: as planned; not necessarily on disk.
        folder: where its problem files lie: that of the manifest.
        has_folders: layout "directories".
    """
    start_jax()
    n_new, n_blocks = part.header["n_new"], sum(p["n_blocks"] for p in part.header["programs"].values())
    n_states = sum(p["n_blocks"] for p in part.header["programs"].values() if p.get("keep_state"))
    files, trace_bytes = n_blocks + n_states, 0
    if n_new and not trace_policy(part.header["trace"]).is_nothing:
        for name, entry in part.header["programs"].items():
            program_files, program_bytes = _program_cost(part, name, entry, folder)
            files, trace_bytes = files + program_files, trace_bytes + program_bytes
    summary_bytes = n_new * _SUMMARY_BYTES
    if has_folders:
        files, summary_bytes = files + 2 * n_new, summary_bytes + n_new * (_SUMMARY_BYTES + _META_BYTES)
    return Cost(n_files=files, trace_bytes=trace_bytes, summary_bytes=summary_bytes)


def _program_cost(part: PlanPart, name: str, entry: Mapping[str, Any], folder: Path) -> tuple[int, int]:
    from campaign.engines.loop import shapes_of
    from campaign.work.building import build_block
    from campaign.work.declaration import trace_spec
    from campaign.work.planned_block import OWN, is_varying, recipe_of

    row = _first_row(part, name)
    columns = {k: [v] for k, v in row.items() if is_varying(part.header, k) or k in OWN}
    policy = trace_policy(part.header["trace"])
    recipe = replace(recipe_of(entry, part.header["seed"], _plugin(entry, folder)), every=policy.every)
    built = build_block(recipe, columns, [row["run_id"]])
    if not built.groups:
        return 0, 0
    (group,) = built.groups
    spec = trace_spec(
        shapes_of(group.batch),
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
        files += entry["n_blocks"] * steps + 1
        bytes_ += entry["n_rows"] * int(np.prod(field.shape, dtype=np.int64)) * np.dtype(field.dtype).itemsize
    return files + 2 * len(spec.coordinates) + 1, bytes_


def _plugin(entry: Mapping[str, Any], folder: Path) -> ProblemPlugin:
    """The problem's plug-in; a problem file has no snapshot yet, so it is taken beside the manifest."""
    if entry.get("module") is None:
        return load(PROBLEMS, entry["problem"]["name"])
    file, attribute = split_name(entry["problem"]["name"])
    return load_file_problem(folder / file, attribute)


def _first_row(part: PlanPart, program: str) -> dict[str, Any]:
    import pyarrow.compute as pc

    mask = pc.equal(part.rows.column("program").cast("string"), program)
    return part.rows.slice(pc.index(mask, True).as_py(), 1).to_pylist()[0]
