"""What judging chains costs: R-hat, effective sample sizes and moments, beside the sampling that they judge.

The load: 64 runs of the ensemble sampler, 32 walkers × 4,000 steps each, on the cheapest model that there is (an
exponential decay of four parameters, 100 data), float64, one block. Processor time of all threads, the least of the
repeats; every figure comes from a process of its own, imports and compilation included in the whole. Peak memory at a
quarter, half and all of the steps, of campaigns that write their traces to disk.

    python benchmarks/judging.py [--steps 4000] [--repeats 3] [--out benchmarks/results/judging.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RUNS, WALKERS = 64, 32


def judged(steps: int, directory: str) -> dict[str, float]:
    """One campaign in this process: processor seconds of the whole and of judging, and peak memory."""
    from campaign.drive.doors import submit
    from campaign.engines.mixing import Mixing

    spent = 0.0

    def clocked(name: str) -> None:
        inner = getattr(Mixing, name)

        def call(self: Mixing, *args: Any) -> Any:
            nonlocal spent
            clock = time.process_time if name == "metrics" else time.thread_time  # metrics uses threads of its own
            begun = clock()
            try:
                return inner(self, *args)
            finally:
                spent += clock() - begun

        setattr(Mixing, name, call)

    for name in ("take", "metrics", "estimates"):
        clocked(name)
    manifest = Path(directory) / "manifest.json"
    document = {
        "schema": "campaign/1",
        "name": "judging",
        "problem": {"name": "decay"},
        "engine": {"name": "ensemble", "walkers": WALKERS, "steps": steps},
        "block": RUNS,
        "expand": {"grid": {"problem.data_seed": {"range": [0, RUNS, 1]}}},
        "execution": {"executor": "inline"},
    }
    manifest.write_text(json.dumps(document))
    submit(manifest, Path(directory) / "c")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"steps": steps, "cpu_s": time.process_time(), "judging_s": spent, "peak_mb": peak}


def measure(steps: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [sys.executable, __file__, "--one", directory, "--steps", str(steps)],
            capture_output=True,
            text=True,
            check=True,
        )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(judged(given.steps, given.one)))
        return
    found = min((measure(given.steps) for _ in range(given.repeats)), key=lambda one: one["cpu_s"])
    memory = [measure(n) for n in (given.steps // 4, given.steps // 2)]
    part = found["judging_s"] / found["cpu_s"]
    print(f"{RUNS} runs × {WALKERS} walkers × {given.steps} steps: {found['cpu_s']:.1f} s of processor time,")
    print(f"judging {found['judging_s']:.2f} s of it, {part:.1%}")
    for one in (*memory, found):
        print(f"peak memory at {one['steps']:5.0f} steps: {one['peak_mb']:.0f} MB")
    if given.out is not None:
        machine = {"python": platform.python_version(), "cores": len(os.sched_getaffinity(0))}
        given.out.write_text(json.dumps({**machine, **found, "part": part, "memory": memory}, indent=1) + "\n")


if __name__ == "__main__":
    main()
