"""100,000 (and 10,000) four-parameter least-squares fits: campaign against joblib + scipy.optimize.curve_fit + pandas.

The load: y(t) = a·exp(−k t) + c + b·t at 100 times, each fit with its own noise and its own start, float64, on as many
processes as there are cores. campaign also keeps the trace of every fit in Zarr; the peer keeps none. Both end with a
Parquet table. Every figure is the wall time of a whole process: interpreter, imports, workers, compilation.

    python benchmarks/fits.py [--runs 10000 100000] [--repeats 3] [--out benchmarks/results/fits.json]

cold: an empty compilation cache. warm: the cache that the cold run left. steady: warm, less the time of the same
command with 32 runs (that is what starting costs).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from campaign.schedule.blocks import block_size

MANIFEST = {
    "schema": "campaign/1",
    "name": "fits",
    "problem": {"name": "decay"},
    "engine": {"name": "trf"},
    "expand": {
        "product": [
            {
                "zip": {
                    "problem.data_seed": {"range": [0, None, 1]},
                    "start.rate": {"linspace": [0.5, 1.5, None]},
                }
            }
        ]
    },
    "execution": {"layout": "packed"},
}

PEER = """
import sys, time
import numpy as np, pandas as pd
from joblib import Parallel, delayed
from scipy.optimize import curve_fit

T = np.linspace(0.0, 10.0, 100)

def model(t, a, k, c, b):
    return a * np.exp(-k * t) + c + b * t

def one(seed, rate):
    y = model(T, 2.0, 0.8, 0.5, 0.02) + 0.05 * np.random.default_rng(seed).standard_normal(100)
    sigma = np.full(100, 0.05)
    more = {"sigma": sigma, "absolute_sigma": True, "full_output": True}
    p, cov, info, _, _ = curve_fit(model, T, y, p0=[1.0, rate, 0.0, 0.0], **more)
    return (*p, *np.sqrt(np.diag(cov)), float(np.sum(info["fvec"] ** 2)), info["nfev"])

n = int(sys.argv[1])
rates = np.linspace(0.5, 1.5, n)
rows = Parallel(n_jobs=-1, batch_size="auto")(delayed(one)(s, r) for s, r in zip(range(n), rates))
names = ["a", "k", "c", "b", "ea", "ek", "ec", "eb", "chi2", "nfev"]
pd.DataFrame(rows, columns=names).to_parquet(sys.argv[2])
"""


def timed(command: list[str], environment: dict[str, str]) -> float:
    """Wall seconds of a process that must succeed."""
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return seconds


def manifest(n: int, block: int | None = None) -> dict:
    document = json.loads(json.dumps(MANIFEST))
    (node,) = document["expand"]["product"]
    node["zip"]["problem.data_seed"]["range"][1] = n
    node["zip"]["start.rate"]["linspace"][2] = n
    document["expand"] = node
    return document if block is None else document | {"block": block}


def campaign(n: int, folder: Path, cache: Path, block: int | None = None) -> float:
    """One submission of n fits into an empty directory."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest(n, block)))
    target = folder / "campaign"
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "campaign", "submit", str(path), "-d", str(target)]
    return timed(command, os.environ | {"CAMPAIGN_CACHE": str(cache)})


def peer(n: int, folder: Path) -> float:
    """The same fits by the peer."""
    script = folder / "peer.py"
    script.write_text(PEER)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return timed([sys.executable, str(script), str(n), str(folder / "peer.parquet")], environment)


def agreement(folder: Path) -> dict[str, float]:
    """Largest difference of parameters and errors, in units of the error, over all fits; the seeds' noise differs."""
    import pandas as pd

    own = pd.read_parquet(folder / "campaign" / "tables" / "summary.parquet")
    other = pd.read_parquet(folder / "peer.parquet")
    return {
        "campaign_ok": float((own["status"] == "ok").mean()),
        "campaign_chi2_mean": float(own["metric.chi2"].mean()),
        "peer_chi2_mean": float(other["chi2"].mean()),
        "campaign_stderr_rate": float(own["stderr.rate"].mean()),
        "peer_stderr_rate": float(other["ek"].mean()),
    }


def breakdown(folder: Path) -> dict[str, float]:
    """Seconds of the campaign's own journal: blocks, compilation, reduction."""
    events = [json.loads(line) for p in (folder / "campaign" / "events").glob("*.jsonl") for line in p.open()]
    blocks = [e for e in events if e["event"] == "block_published"]
    return {
        "blocks": len(blocks),
        "block_seconds": sum(e["seconds"] for e in blocks),
        "compile_seconds": sum(e["compile_s"] for e in blocks),
        "workers": len({e["worker"] for e in blocks}),
    }


PARTS = """
import json, sys, time
from pathlib import Path
from campaign.work.jax_runtime import start_jax
start_jax()
from campaign.engines import loop
from campaign.work import block as computing, done as recording
from campaign.execute.base import Control
from campaign.execute.dask.forked import DaskExecutor
from campaign.work.trace_writer import TraceWriter
from campaign.work.run_block import run_block
from campaign.drive.next_part import planned
from campaign.reduce.reducer import reduce
from campaign.schedule.check import open_manifest
from campaign.store import summaries
from campaign.store.layout import BlockTask, Layout
from campaign.store.summaries import published

layout = Layout(Path(sys.argv[1]))
blocks = [BlockTask("main", *address) for address in sorted(published(layout, "main"))]
manifest = open_manifest(Path(sys.argv[2]))
clock = time.process_time()
part = planned(Layout(layout.root / "elsewhere"), manifest, manifest.stages[0])
n = part.rows.num_rows
found = {"plan": (time.process_time() - clock) / n}
with DaskExecutor() as executor:
    list(executor.run(layout.root, blocks[:4], Control()))
    clock = time.process_time()
    list(executor.run(layout.root, blocks, Control()))  # published already: nothing but the way there and back
    found["scheduling"] = (time.process_time() - clock) / n
for task in blocks:
    layout.summaries(task.stage, task.part, task.block).unlink()
run_block(layout.root, blocks[0])
spent = dict.fromkeys(("data", "lanes", "handing over", "traces", "records", "publishing"), 0.0)

def clocked(module, name, key, after=lambda *_: None):
    function = getattr(module, name)
    def call(*args, **kwargs):
        clock = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            after(*args)
            spent[key] += time.process_time() - clock
    setattr(module, name, call)

clocked(computing, "build_block", "data")
clocked(computing, "run_lanes", "lanes")
clocked(loop._Watch, "hand_over", "handing over")  # part of the lanes' time: most of the traces'
clocked(recording, "records", "records")
clocked(summaries, "publish_block", "publishing")
clocked(TraceWriter, "put", "traces", after=lambda output, *_: output.settle())  # else it goes on beside what follows
clock = time.process_time()
done = [run_block(layout.root, task) for task in blocks[1:41]]
whole = time.process_time() - clock
n_done = sum(r.n_ok + r.n_failed for r in done)
one = {key: seconds / n_done for key, seconds in spent.items()}
found["data"] = one["data"]
found["fit"] = one["lanes"] - one["handing over"]
found["traces"] = one["traces"]
found["summaries"] = one["records"] + one["publishing"]
found["rest of the block"] = whole / n_done - sum(found[k] for k in ("data", "fit", "traces", "summaries"))
for task in blocks:
    run_block(layout.root, task)
reduce(layout)  # its imports belong to starting
for path in layout.table_part("main", 0, 0).parent.glob("*"):
    path.unlink()
clock = time.process_time()
reduce(layout)
found["reduce"] = (time.process_time() - clock) / n
found["bookkeeping"] = sum(v for k, v in found.items() if k not in ("fit", "data"))
print(json.dumps({k: round(1e6 * v, 2) for k, v in found.items()}))
"""


def parts(target: Path, cache: Path) -> dict[str, float]:
    """CPU microseconds a run of each part of the way, in one process, all threads, one part after another."""
    command = [sys.executable, "-c", PARTS, str(target), str(target.parent / "manifest.json")]
    environment = os.environ | {"CAMPAIGN_CACHE": str(cache)}
    return json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load_before": os.getloadavg()},
        "versions": {n: version(n) for n in ("jax", "numpy", "scipy", "joblib", "pandas", "zarr", "distributed")},
        "rows": [],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n in arguments.runs:
            row: dict = {"runs": n, "cold": [], "warm": [], "start_only": [], "peer": [], "peer_start_only": []}
            for _ in range(arguments.repeats):
                cache = folder / "cache"
                shutil.rmtree(cache, ignore_errors=True)
                row["cold"].append(campaign(n, folder, cache))
                row["peer_start_only"].append(peer(32, folder))
                row["peer"].append(peer(n, folder))
                row["start_only"].append(campaign(32, folder, cache, block_size(n, 1024)))  # the same program
                row["warm"].append(campaign(n, folder, cache))
            row |= {"blocks": breakdown(folder), "agreement": agreement(folder)}
            row["cpu_us_a_run"] = parts(folder / "campaign", cache)
            best = {k: min(row[k]) for k in ("cold", "warm", "start_only", "peer", "peer_start_only")}
            row["ratio_cold"] = best["peer"] / best["cold"]
            row["ratio_warm"] = best["peer"] / best["warm"]
            steady = (best["peer"] - best["peer_start_only"]) / (best["warm"] - best["start_only"])
            row["ratio_steady"] = steady
            row["fits_per_second_steady"] = n / (best["warm"] - best["start_only"])
            report["rows"].append(row)
            print(f"{n:>9,} fits  " + "  ".join(f"{k} {v:.2f} s" for k, v in best.items()))
            print(
                f"           ratio cold {row['ratio_cold']:.2f}  warm {row['ratio_warm']:.2f}  steady {steady:.2f}"
                f"  ({row['fits_per_second_steady']:,.0f} fits/s steady)"
            )
            print(f"           CPU µs a run: {row['cpu_us_a_run']}")
            print(f"           {row['blocks']}\n           {row['agreement']}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
