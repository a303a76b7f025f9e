"""Every executor on one campaign: seconds to the first finished block, in all, and what a run costs beside its fit.

    python benchmarks/executors.py [--runs 8192] [--executors all] [--out FILE.json] [--json] [--quick]

One campaign of four-parameter fits, traces kept, run by each executor in turn with the same number of workers, twice
each: the first time with an empty compilation cache. The SLURM executors need a SLURM (`slurm/slurm_up.sh` makes one on
this machine) and use the profile `loopback`, or the one given with --profile; where there is none they are left out,
and it says so. "Overhead a run" is the wall time in which no block is at work, divided by the runs: planning, starting,
reducing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from campaign.store.events import read_events
from campaign.store.layout import Layout

SCHEMA = "campaign.benchmark/1"
EXECUTORS = ("inline", "auto", "dask", "mpi", "dask-slurm", "slurm-array")


def manifest(n_runs: int, profile: str) -> dict:
    """`n_runs` fits of the `decay` problem, 16 starts for each of n/16 noise seeds."""
    starts = {"sample": {"design": "sobol", "n": 16, "space": {"start.rate": {"uniform": [0.3, 2.0]}}}}
    return {
        "schema": "campaign/1",
        "name": "executors",
        "problem": {"name": "decay"},
        "engine": {"name": "trf"},
        "expand": {"product": [{"grid": {"problem.data_seed": {"range": [0, n_runs // 16, 1]}}}, starts]},
        "block": 512,
        "execution": {"layout": "packed", "profile": profile},
    }


def measure(executor: str, file: Path, directory: Path, workers: int, cache: Path) -> dict[str, float]:
    """One submission, start-up included."""
    command = [sys.executable, "-m", "campaign", "submit", str(file), "-d", str(directory), "--executor", executor]
    began = time.time()
    done = subprocess.run(
        [*command, "--workers", str(workers)],
        capture_output=True,
        text=True,
        env=os.environ | {"CAMPAIGN_CACHE": str(cache)},
        check=False,
    )
    seconds = time.time() - began
    if done.returncode:
        raise SystemExit(f"{executor}: exit code {done.returncode}\n{done.stderr}")
    blocks = [event for event in read_events(Layout(directory)) if event["event"] == "block_published"]
    n_runs = sum(block["n_ok"] + block["n_failed"] for block in blocks)
    return {
        "first_block_s": min(block["t"] for block in blocks) - began,
        "total_s": seconds,
        "runs_per_s": n_runs / seconds,
        "overhead_us_a_run": 1e6 * (seconds - _busy_s(blocks)) / n_runs,
        "compilations": sum(block["n_compiles"] for block in blocks),
    }


def _busy_s(blocks: list[dict]) -> float:
    """Seconds in which at least one block was at work."""
    busy, until = 0.0, 0.0
    for begun, ended in sorted((block["t"] - block["seconds"], block["t"]) for block in blocks):
        busy += max(0.0, ended - max(begun, until))
        until = max(until, ended)
    return busy


def available(names: list[str]) -> dict[str, str]:
    """Which of the executors cannot be measured here → why."""
    reasons = {}
    done = subprocess.run(["sinfo", "-h"], capture_output=True, check=False) if shutil.which("sinfo") else None
    for name in names:
        if name in ("dask-slurm", "slurm-array") and (done is None or done.returncode):
            reasons[name] = "no SLURM answers (slurm/slurm_up.sh makes one; SLURM_CONF must name it)"
        elif name not in EXECUTORS:
            raise SystemExit(f"error: unknown executor `{name}`; valid: all, {', '.join(EXECUTORS)}")
    return reasons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8192, help="a multiple of 16")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--executors", default="all")
    parser.add_argument("--profile", default="loopback")
    parser.add_argument("--quick", action="store_true", help="256 runs: does it work; the figures mean nothing")
    parser.add_argument("--out", type=Path, help="write the figures to this file")
    parser.add_argument("--json", action="store_true", help="print them as JSON")
    options = parser.parse_args()
    n_runs = 256 if options.quick else options.runs
    names = list(EXECUTORS) if options.executors == "all" else options.executors.split(",")
    left_out = available(names)
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        file = root / "manifest.json"
        file.write_text(json.dumps(manifest(n_runs, options.profile)))
        for name in names:
            if name in left_out:
                print(f"{name:12s} left out: {left_out[name]}", file=sys.stderr, flush=True)
                continue
            for kind in ("cold", "warm"):
                directory = root / f"{name}-{kind}"
                result = measure(name, file, directory, options.workers, root / f"cache-{name}")
                results[f"{name} {kind}"] = result
                numbers = "  ".join(f"{key} {value:10.2f}" for key, value in result.items())
                print(f"{name:12s} {kind}  {numbers}", file=sys.stderr if options.json else sys.stdout, flush=True)
    document = {
        "schema": SCHEMA,
        "benchmark": "executors",
        "runs": n_runs,
        "workers": options.workers,
        "quick": options.quick,
        "left_out": left_out,
        "results": results,
    }
    text = json.dumps(document, indent=2)
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    if options.json:
        print(text)


if __name__ == "__main__":
    main()
