"""A long chain end to end: 1,024 walkers × 20,000 steps, 20.5 million model evaluations, through `campaign submit`.

The posterior is that of `samplers.py`: the two-layer model on annual temperatures from 1750 to 2024, three parameters;
every tenth step is kept. For each number of steps one whole process, from the manifest to the table, start-up and
compilation included: wall time, its peak memory, and the bytes of the campaign on disk.

    python benchmarks/long_chain.py [--steps 20000] [--solver rk4|exact] [--out benchmarks/results/long_chain.json]

That the compiled program never calls back to Python is a test: tests/unit/climate/api/test_climate_calibration.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import p3_posterior

WALKERS, THIN = 1024, 10


def manifest(steps: int, solver: str) -> dict:
    return {
        "schema": "campaign/1",
        "name": "long-chain",
        "problem": {
            "name": "two-layer",
            **p3_posterior.OPTIONS,
            "solver": solver,
            "steps_per_year": 10,
        },
        "start": p3_posterior.FIXED,
        "engine": {"name": "ensemble", "walkers": WALKERS, "steps": steps, "thin": THIN, "init": "prior"},
        "trace": True,
        "execution": {"executor": "inline"},
    }


def measure(steps: int, solver: str) -> dict[str, float]:
    """One campaign in processes of its own; peak memory is that of the largest of them."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copy(p3_posterior.DATA, place)
        (place / "manifest.json").write_text(json.dumps(manifest(steps, solver)))
        begun = time.perf_counter()
        words = ["-m", "campaign", "submit", "manifest.json", "-d", "out"]
        subprocess.run([sys.executable, *words], cwd=place, check=True, capture_output=True)
        wall = time.perf_counter() - begun
        table = pd.read_parquet(place / "out" / "tables" / "summary.parquet")
        (row,) = table.to_dict("records")
        files = [path.stat() for path in (place / "out").rglob("*") if path.is_file()]
        return {
            "steps": steps,
            "evaluations": steps * WALKERS,
            "wall_s": wall,
            "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
            "disk_mb": sum(stat.st_size for stat in files) / 1e6,
            "files": len(files),
            "outcome": row["outcome"],
            "rhat": row["metric.rhat_max"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--solver", choices=("exact", "rk4"), default="exact")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = []
    for steps in (given.steps // 4, given.steps // 2, given.steps):  # ascending: the peak is that of all so far
        found.append(measure(steps, given.solver))
        print(json.dumps(found[-1]), flush=True)
    if given.out is not None:
        machine = {"python": platform.python_version(), "cores": len(os.sched_getaffinity(0)), "solver": given.solver}
        given.out.write_text(json.dumps({**machine, "runs": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
