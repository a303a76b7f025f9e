"""Every executor on one campaign: seconds to the first finished block, in all, and what a run costs beside its fit.

    python benchmarks/executors.py [--runs 8192] [--executors inline,dask,mpi,dask-slurm,slurm-array] [--json]

One campaign of four-parameter fits, traces kept, run by each executor in turn with the same number of workers, twice
each: the first time with an empty compilation cache. The SLURM executors need a SLURM (`slurm/slurm_up.sh` makes one on
this machine) and use the profile `loopback`, or the one given with --profile. "Overhead a run" is the wall time in all,
less the blocks' own seconds shared by the workers, divided by the runs: planning, starting, handing out, reducing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from campaign.store.events import read_events
from campaign.store.layout import Layout

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
    n_workers = 1 if executor == "inline" else workers
    own = sum(block["seconds"] for block in blocks) / n_workers
    return {
        "first_block_s": min(block["t"] for block in blocks) - began,
        "total_s": seconds,
        "runs_per_s": n_runs / seconds,
        "overhead_us_a_run": 1e6 * (seconds - own) / n_runs,
        "compilations": sum(block["n_compiles"] for block in blocks),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8192)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--executors", default="inline,auto,dask,mpi")
    parser.add_argument("--profile", default="loopback")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        file = root / "manifest.json"
        file.write_text(json.dumps(manifest(options.runs, options.profile)))
        for executor in options.executors.split(","):
            for kind in ("cold", "warm"):
                directory = root / f"{executor}-{kind}"
                result = measure(executor, file, directory, options.workers, root / f"cache-{executor}")
                results[f"{executor} {kind}"] = result
                if not options.json:
                    numbers = "  ".join(f"{name} {value:10.2f}" for name, value in result.items())
                    print(f"{executor:12s} {kind}  {numbers}", flush=True)
    if options.json:
        print(json.dumps({"schema": "campaign.benchmark/1", "runs": options.runs, "results": results}, indent=2))


if __name__ == "__main__":
    main()
