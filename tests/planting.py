"""Plants campaign directories as the run wing leaves them, with numbers that a test can work out by hand.

Run i of a stage has loss i, theta.k = i/2, theta.alpha = −i, stderr.k = 0.1, derived.tau = 2 i, metric.chi2 = 10 i.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from campaign.store.claim import Identity, record_manifest, write_identity
from campaign.store.layout import Layout
from campaign.store.records import dumps, publish_json
from campaign.store.summaries import publish_block
from campaign.store.trace_spec import Field, TraceSpec
from campaign.store.traces import ensure_group, write_chunks


@dataclass(frozen=True, kw_only=True)
class Planting:
    """One stage: `n_runs` runs of `n_programs` programs, block after block, in `part`."""

    stage: str = "fit"
    n_runs: int = 10
    n_programs: int = 1
    block_size: int = 4
    part: int = 0
    attempt: int = 0
    interleaved: bool = False
    first: int = 0
    axes: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"start.k": {"type": "float", "varying": True}, "problem.model": {"type": "string"}}
    )

    def run_id(self, i: int) -> str:
        return hashlib.sha256(f"{self.stage}/{i}".encode()).hexdigest()[:32]

    def program_of(self, position: int) -> int:
        if self.interleaved:
            return position % self.n_programs
        return position * self.n_programs // self.n_runs

    def program_name(self, program: int) -> str:
        name = hashlib.sha256(f"{self.stage}/program {program}".encode()).hexdigest()[:12]
        return f"{name}-{self.part}" if self.part else name

    def rows(self) -> list[dict[str, Any]]:
        """Plan rows in expansion order."""
        counts = [0] * self.n_programs
        for position in range(self.n_runs):
            counts[self.program_of(position)] += 1
        first_block, total = [], 0
        for count in counts:
            first_block.append(total)
            total += -(-count // self.block_size)
        seen = [0] * self.n_programs
        rows = []
        for position in range(self.n_runs):
            program = self.program_of(position)
            row, seen[program] = seen[program], seen[program] + 1
            i = self.first + position
            rows.append(
                {
                    "run_id": self.run_id(i),
                    "program": self.program_name(program),
                    "part": self.part,
                    "block": first_block[program] + row // self.block_size,
                    "row": row,
                    "attempt": self.attempt,
                    "replicate": 0,
                    "label": f"run {i}" if i % 2 else None,
                    "start.k": i / 4,
                    "problem.model": f"model {program}",
                }
            )
        return rows

    def header(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        programs = {}
        for program in range(self.n_programs):
            name = self.program_name(program)
            mine = [r for r in rows if r["program"] == name]
            programs[name] = {
                "problem": {"name": "decay", "model": f"model {program}"},
                "free": None,
                "engine": {"name": "trf"},
                "start": {},
                "scale": {},
                "versions": {"problem": "1", "engine": "1"},
                "inputs": {},
                "module": None,
                "n_rows": len(mine),
                "block_size": self.block_size,
                "first_block": min((r["block"] for r in mine), default=0),
                "n_blocks": len({r["block"] for r in mine}),
            }
        return {
            "schema": "campaign.plan/1",
            "stage": self.stage,
            "part": self.part,
            "created_at": "2026-11-20T12:00:00Z",
            "manifest_sha256": "ab" * 32,
            "seed": 7,
            "n_runs": len(rows),
            "n_new": len(rows),
            "n_kept": 0,
            "n_removed": 0,
            "trace": True,
            "axes": self.axes,
            "programs": programs,
        }


PROGRAM = {
    "schema": "campaign.program/1",
    "problem": "decay",
    "engine": "trf",
    "parameters": [
        {"name": "k", "unit": "1/s", "free": True, "description": "rate"},
        {"name": "alpha", "unit": "", "free": False, "description": "offset"},
    ],
    "derived": {"tau": "s"},
    "metrics": ["chi2"],
    "trace": {},
    "arrays": {},
    "versions": {},
    "device": "cpu",
}


def plan_schema(axes: dict[str, dict[str, Any]]) -> pa.Schema:
    kinds = {"float": pa.float64(), "int": pa.int64(), "bool": pa.bool_(), "string": pa.string(), "json": pa.string()}
    return pa.schema(
        [("run_id", pa.string()), ("program", pa.dictionary(pa.int32(), pa.string()))]
        + [(name, pa.int32()) for name in ("part", "block", "row", "attempt")]
        + [("replicate", pa.int64()), ("label", pa.string())]
        + [(path, kinds[axis["type"]]) for path, axis in axes.items()]
    )


def plant(root: Path, *plantings: Planting, begun: bool = True) -> Layout:
    """Identity, manifest, plans and, when `begun`, program declarations. No summaries yet."""
    layout = Layout(Path(root))
    identify(layout)
    record_manifest(layout, dumps({"schema": "campaign/1", "stages": [{"name": p.stage} for p in plantings]}))
    for planting in plantings:
        write_plan(layout, planting, planting.rows())
        if begun:
            declare(layout, planting)
    return layout


def identify(layout: Layout, mode: str = "packed") -> None:
    """Write campaign.json."""
    named = {"name": "planted", "id": "0" * 16, "created_at": "2026-11-20T12:00:00+00:00", "checkpoint_s": 30.0}
    write_identity(layout, Identity(**named, folder=str(layout.root.parent), layout=mode))


def write_plan(layout: Layout, planting: Planting, rows: list[dict[str, Any]], **changes: Any) -> None:
    table = pa.Table.from_pylist(rows, schema=plan_schema(planting.axes))
    path = layout.plan_rows(planting.stage, planting.part)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    publish_json(layout.plan_header(planting.stage, planting.part), planting.header(rows) | changes)


def declare(layout: Layout, planting: Planting, **changes: Any) -> None:
    for program in range(planting.n_programs):
        publish_json(layout.program(planting.stage, planting.program_name(program)), PROGRAM | changes)


def record(planting: Planting, row: dict[str, Any], i: int, **changes: Any) -> dict[str, Any]:
    return {
        "schema": "campaign.summary/1",
        "run_id": row["run_id"],
        "stage": planting.stage,
        "label": row["label"],
        "problem": "decay",
        "engine": "trf",
        "seed": 7,
        "replicate": 0,
        "attempt": row["attempt"],
        "status": "ok",
        "outcome": "converged",
        "message": "",
        "loss_initial": 100.0,
        "loss": float(i),
        "n_steps": 5,
        "n_evaluations": 9,
        "runtime_s": 0.001,
        "compile_s": 0.0,
        "started_at": "2026-11-20T12:34:56.789012+00:00",
        "host": "node1",
        "device": "cpu",
        "part": row["part"],
        "block": row["block"],
        "program": row["program"],
        "row": row["row"],
        "theta": {"k": i / 2, "alpha": -float(i)},
        "stderr": {"k": 0.1},
        "derived": {"tau": 2.0 * i},
        "metric": {"chi2": 10.0 * i},
        "bounds_reached": [],
        "unidentified": [],
        "nonfinite": [],
    } | changes


def failed(**changes: Any) -> dict[str, Any]:
    """Changes that make a record one of a failed run."""
    nothing = {"k": None, "alpha": None}
    return {
        "status": "failed",
        "outcome": "nonfinite",
        "message": "the loss is not finite",
        "loss": None,
        "theta": nothing,
        "stderr": {"k": None},
        "derived": {"tau": None},
        "metric": {"chi2": None},
        "nonfinite": ["loss"],
    } | changes


def records(planting: Planting, block: int, changes: dict[int, dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """The records of a block; `changes` by run number."""
    found = []
    for position, row in enumerate(planting.rows()):
        i = planting.first + position
        if row["block"] == block:
            found.append(record(planting, row, i, **(changes or {}).get(i, {})))
    return found


def n_blocks(planting: Planting) -> int:
    return max(row["block"] for row in planting.rows()) + 1


def publish_records(
    layout: Layout, stage: str, part: int, block: int, found: list[dict[str, Any]], metas: list | None = None
) -> None:
    """Publish a block of these records."""
    publish_block(layout, stage, part, block, [dumps(record) for record in found], metas)


def publish(layout: Layout, planting: Planting, *blocks: int, changes: dict[int, dict[str, Any]] | None = None) -> None:
    """Publish the summaries of blocks; of all when none is named."""
    for block in blocks or range(n_blocks(planting)):
        publish_records(layout, planting.stage, planting.part, block, records(planting, block, changes))


N_STEPS, STEP_CHUNK = 6, 4  # of the trace arrays; records say n_steps = 5


def trace_spec(planting: Planting, program: int) -> TraceSpec:
    own = [row["run_id"] for row in planting.rows() if row["program"] == planting.program_name(program)]
    shared = {"dtype": "float64", "run_chunk": planting.block_size}
    return TraceSpec(
        n_rows=len(own),
        block_size=planting.block_size,
        fields=(
            Field(name="loss", dims=("step",), shape=(N_STEPS,), chunk=(STEP_CHUNK,), **shared),
            Field(
                name="theta",
                dims=("step", "parameter"),
                shape=(N_STEPS, 1),
                chunk=(STEP_CHUNK, 1),
                unit="1/s",
                **shared,
            ),
            Field(name="jacobian", dims=("datum",), shape=(3,), chunk=(3,), **shared),
        ),
        coordinates={
            "run_id": (("run",), np.array(own), ""),
            "parameter": (("parameter",), np.array(["k"]), ""),
        },
        attributes={
            "stage": planting.stage,
            "program": planting.program_name(program),
            "problem": "decay",
            "engine": "trf",
        },
    )


def publish_traces(layout: Layout, planting: Planting, *blocks: int) -> None:
    """Traces of blocks, of all when none is named: loss[run i, step s] = i + s, theta = −(i + s), for 5 steps."""
    rows = planting.rows()
    for block in blocks or range(n_blocks(planting)):
        own = [(planting.first + at, row) for at, row in enumerate(rows) if row["block"] == block]
        program = next(k for k in range(planting.n_programs) if planting.program_name(k) == own[0][1]["program"])
        spec = trace_spec(planting, program)
        group = ensure_group(layout, planting.stage, planting.program_name(program), spec)
        loss = np.full((len(own), N_STEPS), np.nan)
        for at, (i, _) in enumerate(own):
            loss[at, :5] = i + np.arange(5)
        row = own[0][1]["row"]
        items = [
            ("jacobian", row, 0, np.ones((len(own), 3))),
            ("loss", row, 0, loss),
            ("theta", row, 0, -loss[:, :, None]),
        ]
        write_chunks(group, spec, items)
