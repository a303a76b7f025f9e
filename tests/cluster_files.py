"""Cluster profiles and manifests for tests on the loopback SLURM."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TESTS = str(Path(__file__).parent)


def write_profile(
    folder: Path,
    *,
    worker: dict[str, Any] | None = None,
    driver: dict[str, Any] | None = None,
    prologue: Sequence[str] = (),
    **top: Any,
) -> Path:
    """A profile like `loopback`, whose jobs import what this process can; `prologue` comes first."""
    path = os.pathsep.join([TESTS, *(p for p in sys.path if p)])
    head = {"partition": "main", "interface": "lo", "device": "cpu", "max_jobs": 3} | top
    head["prologue"] = [*prologue, f"export PYTHONPATH={shlex.quote(path)}"]
    job = {"workers": 2, "cpus": 1, "memory_mb": 600, "time_s": 3600} | (worker or {})
    lines = [f"{key} = {json.dumps(value)}" for key, value in head.items()]
    lines += ["", "[worker]", *(f"{key} = {json.dumps(value)}" for key, value in job.items())]
    if driver:
        lines += ["", "[driver]", *(f"{key} = {json.dumps(value)}" for key, value in driver.items())]
    file = folder / "profile.toml"
    file.write_text("\n".join(lines) + "\n")
    return file
