"""A million runs: what planning, status and reducing cost, in seconds and peak memory.

    python benchmarks/million.py [--runs 1000000] [--out benchmarks/results/million.json]

plan: `campaign plan`'s own work without its imports of JAX: expansion (grid 100 × Sobol 10,000), identities, blocks,
and writing the plan. status and reduce: on that plan, with summaries as workers write them, in packed blocks; the
numbers in the summaries are made up, their number and size are not. Each figure is one child process, measured inside.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

BARS = {"plan": (10.0, 1000.0), "status": (1.0, None), "reduce": (20.0, 500.0)}

PLAN = """
from campaign.manifest.load import load
from campaign.schedule.planning import plan_stage
from campaign.store.claim import claim
from campaign.store.plan import write_part
from campaign.store.layout import Layout
from pathlib import Path
import sys, time, resource
started = time.perf_counter()
folder = Path(sys.argv[1])
manifest = load(folder / "manifest.json")
layout = Layout(folder / "campaign")
layout.root.mkdir()
claim(layout, manifest.name, folder=folder, mode="packed", checkpoint_s=None)
write_part(layout, plan_stage(manifest, manifest.stages[0]))
"""

STATUS = """
from campaign.analysis.status import status
from campaign.store.layout import Layout
from pathlib import Path
import sys, time, resource
started = time.perf_counter()
status(Layout(Path(sys.argv[1]) / "campaign"))
"""

REDUCE = """
from campaign.reduce.reducer import reduce
from campaign.store.layout import Layout
from pathlib import Path
import sys, time, resource
started = time.perf_counter()
report = reduce(Layout(Path(sys.argv[1]) / "campaign"))
assert report.n_rows == int(sys.argv[2]), report
"""

TAIL = """
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def measured(code: str, *arguments: str) -> tuple[float, float]:
    """(seconds, peak MB) of code in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code + TAIL, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def manifest(n: int) -> dict:
    return {
        "schema": "campaign/1",
        "name": "million",
        "problem": {"name": "decay"},
        "engine": {"name": "trf"},
        "expand": {
            "product": [
                {"grid": {"problem.data_seed": {"range": [0, 100, 1]}}},
                {
                    "sample": {
                        "design": "sobol",
                        "n": n // 100,
                        "space": {"start.rate": {"uniform": [0.3, 2.0]}, "start.amplitude": {"uniform": [0.5, 3.0]}},
                    }
                },
            ]
        },
    }


def publish_made_up_summaries(directory: Path) -> None:
    """Summaries of every block of the plan, and the description of its program."""
    import pyarrow.parquet as pq

    from campaign.store.layout import Layout
    from campaign.store.plan import read_header
    from campaign.store.records import dumps, publish_json

    layout = Layout(directory)
    header = read_header(layout, "main", 0)
    ((program, entry),) = header["programs"].items()
    names = ("amplitude", "rate", "offset", "drift")
    publish_json(
        layout.program("main", program),
        {
            "schema": "campaign.program/1",
            "parameters": [{"name": n, "unit": "", "free": True} for n in names],
            "derived": {"half_life": "s"},
            "metrics": ["aic", "bic", "chi2", "dof", "n_data", "n_free", "p_value", "reduced_chi2"],
        },
    )
    ids = pq.read_table(layout.plan_rows("main", 0), columns=["run_id"]).column("run_id").to_pylist()
    size = entry["block_size"]
    layout.summaries_folder("main").mkdir(parents=True)
    record = {
        "run_id": "", "schema": "campaign.summary/1", "stage": "main", "problem": "decay", "engine": "trf", "seed": 0,
        "part": 0, "block": 0, "program": program, "label": None, "replicate": 0, "attempt": 0, "row": 0,
        "started_at": "2026-11-20T19:17:57.519+00:00", "host": "node1", "device": "cpu", "runtime_s": 5.2e-5,
        "compile_s": 0.0, "status": "ok", "outcome": "converged", "message": None, "loss_initial": 12.3, "loss": 0.0,
        "n_steps": 7, "n_evaluations": 35, "theta": {}, "stderr": dict.fromkeys(names, 0.0123456789),
        "derived": {"half_life": 0.866}, "bounds_reached": [], "unidentified": [], "nonfinite": [],
        "metric": {"aic": 108.1, "bic": 118.5, "chi2": 100.1, "dof": 96.0, "n_data": 100.0, "n_free": 4.0,
                   "p_value": 0.51, "reduced_chi2": 1.04},
    }  # fmt: skip
    for block in range(entry["n_blocks"]):
        lines = []
        for row in range(block * size, min(len(ids), (block + 1) * size)):
            loss = 40 + (row * 0.6180339887498949) % 1 * 20
            record |= {"run_id": ids[row], "block": block, "row": row, "loss": loss}
            record["theta"] = dict.fromkeys(names, loss / 7)
            lines.append(dumps(record))
        layout.summaries("main", 0, block).write_bytes(b"\n".join(lines) + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "manifest.json").write_text(json.dumps(manifest(arguments.runs)))
        found["plan"] = measured(PLAN, name)
        found["status_planned"] = measured(STATUS, name)
        publish_made_up_summaries(folder / "campaign")
        found["reduce"] = measured(REDUCE, name, str(arguments.runs))
        found["reduce_again"] = measured(REDUCE, name, str(arguments.runs))
        found["status"] = measured(STATUS, name)
    for what, (seconds, memory) in found.items():
        bar = BARS.get(what)
        text = f"   bar {bar[0]:g} s" + (f", {bar[1]:g} MB" if bar[1] else "") if bar else ""
        print(f"{what:<16} {seconds:8.2f} s  {memory:7.0f} MB{text}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()}
        versions = {name: version(name) for name in ("numpy", "pyarrow")}
        figures = {what: {"seconds": s, "peak_mb": mb} for what, (s, mb) in found.items()}
        report = {"runs": arguments.runs, "machine": machine, "versions": versions, "found": figures}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
