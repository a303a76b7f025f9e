"""Campaigns that tests run for real: manifests, the command line in a process of its own, and tables to compare."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from campaign.cli.main import run
from campaign.reduce.schema import comparable

TWO_STAGES: dict[str, Any] = {
    "schema": "campaign/1",
    "name": "two-stages",
    "seed": 3,
    "stages": [
        {
            "name": "fit",
            "problem": {"name": "decay", "n": 40},
            "engine": {"name": "trf"},
            "expand": {
                "product": [
                    {"grid": {"problem.data_seed": {"range": [0, 16, 1]}}},
                    {"sample": {"design": "sobol", "n": 16, "space": {"start.rate": {"uniform": [0.3, 2.0]}}}},
                ]
            },
            "block": 8,
        },
        {
            "name": "sample",
            "start": {"from": "fit", "pick": "best", "by": ["problem.data_seed"]},
            "engine": {"name": "ensemble", "walkers": 16, "steps": 6000},
            "block": 2,
        },
    ],
    "execution": {"checkpoint_s": 0.2},
}


def write_manifest(folder: Path, document: dict[str, Any]) -> Path:
    path = folder / "manifest.json"
    path.write_text(json.dumps(document))
    return path


def command(*arguments: object) -> list[str]:
    """The command line that runs `campaign` with this interpreter."""
    return [sys.executable, "-m", "campaign", *(str(a) for a in arguments)]


def campaign(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `campaign` in a process of its own."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, timeout=300, env=os.environ | environment
    )


def here(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `campaign` in this process, which costs no start: for what only looks at what other processes have left."""
    words, output, errors = [str(a) for a in arguments], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = run(words)
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())


def table(directory: Path) -> pa.Table:
    """What must be the same wherever and however often a campaign ran."""
    return comparable(pq.read_table(directory / "tables" / "summary.parquet"))


def assert_same(one: pa.Table, other: pa.Table) -> None:
    """Equal bit by bit; NaN equals NaN. Names the first column that differs."""
    assert one.column_names == other.column_names
    assert one.num_rows == other.num_rows
    for name in one.column_names:
        a, b = one.column(name).combine_chunks(), other.column(name).combine_chunks()
        assert a.equals(b) or a.to_pandas().equals(b.to_pandas()), f"column {name} differs"
