"""Models that are not JAX: what a run costs beside its model, against joblib, Dask futures and a process a run.

    python benchmarks/anymodel.py [--runs 5000] [--workers 2] [--out FILE.json] [--quick]

Two models: a NumPy function that works for 1 ms, and a C program that works for 5 ms. Start-up counts. "Overhead a run"
is wall time × workers − runs × time of the bare model (measured here, alone), divided by the runs.
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
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

C_SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int main(int n, char **words) {
  struct timespec t; double begun, now;
  clock_gettime(CLOCK_MONOTONIC, &t); begun = t.tv_sec + 1e-9 * t.tv_nsec;
  do { clock_gettime(CLOCK_MONOTONIC, &t); now = t.tv_sec + 1e-9 * t.tv_nsec; } while (now - begun < 5e-3);
  printf("%.17g\n", atof(words[1]) * 2.0);
  return 0;
}
"""

FILE = """
import time
import numpy as np
from campaign.problem.external import ExternalProgram
from campaign.problem.foreign.readers import Output
from campaign.problem.python import PythonModel
from campaign.space import Parameter

PARAMETERS = [Parameter(name="a", initial=1.0)]

def work(p):
    until = time.perf_counter() + 1e-3
    a = np.arange(64.0)
    while time.perf_counter() < until:
        a = np.sqrt(a * a + p["a"])
    return a[:4]

def function():
    return PythonModel(work, PARAMETERS, outputs={"model": 4})

def program(command: str):
    return ExternalProgram([command, "{a}"], PARAMETERS, outputs={"model": Output(shape=())})
"""


def bare_function(a: float) -> float:
    """The NumPy model without anything around it."""
    import numpy as np

    until = time.perf_counter() + 1e-3
    x = np.arange(64.0)
    while time.perf_counter() < until:
        x = np.sqrt(x * x + a)
    return float(x[0])


def bare_program(command: str, a: float) -> float:
    return float(subprocess.run([command, repr(a)], capture_output=True, check=True).stdout)


def with_campaign(kind: str, command: str, n: int, workers: int, folder: Path) -> float:
    problem = {"name": f"models.py:{kind}"} | ({"command": command} if kind == "program" else {})
    (folder / "models.py").write_text(FILE)
    manifest = {
        "schema": "campaign/1",
        "name": "anymodel",
        "problem": problem,
        "engine": {"name": "evaluate"},
        "expand": {"sample": {"design": "sobol", "n": n, "space": {"start.a": {"uniform": [1.0, 2.0]}}}},
    }
    file = folder / f"{kind}.json"
    file.write_text(json.dumps(manifest))
    out = folder / f"out-{kind}"
    words = [sys.executable, "-m", "campaign", "submit", str(file), "-d", str(out)]
    began = time.perf_counter()
    subprocess.run([*words, "--executor", "dask", "--workers", str(workers)], check=True, capture_output=True)
    return time.perf_counter() - began


def with_joblib(kind: str, command: str, n: int, workers: int) -> float:
    from joblib import Parallel, delayed

    began = time.perf_counter()
    call = delayed(bare_function) if kind == "function" else delayed(bare_program)
    given = [(1.0 + i / n,) if kind == "function" else (command, 1.0 + i / n) for i in range(n)]
    Parallel(n_jobs=workers)(call(*one) for one in given)
    return time.perf_counter() - began


def with_dask_futures(kind: str, command: str, n: int, workers: int) -> float:
    from distributed import Client, LocalCluster

    began = time.perf_counter()
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        if kind == "function":
            futures = [client.submit(bare_function, 1.0 + i / n) for i in range(n)]
        else:
            futures = [client.submit(bare_program, command, 1.0 + i / n) for i in range(n)]
        client.gather(futures)
    return time.perf_counter() - began


def with_a_process_each(kind: str, command: str, n: int, workers: int) -> float:
    """What submitit's local executor does: a new interpreter for every task."""
    code = f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]; import anymodel; print(anymodel."

    def one(i: int) -> None:
        call = f"bare_function({1.0 + i / n})" if kind == "function" else f"bare_program({command!r}, {1.0 + i / n})"
        subprocess.run([sys.executable, "-c", f"{code}{call})"], check=True, capture_output=True)

    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, range(n)))
    return time.perf_counter() - began


def bare_seconds(kind: str, command: str, n: int = 50) -> float:
    bare_function(1.0) if kind == "function" else bare_program(command, 1.0)  # imports are not the model
    began = time.perf_counter()
    for i in range(n):
        bare_function(1.0 + i) if kind == "function" else bare_program(command, 1.0 + i)
    return (time.perf_counter() - began) / n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="200 runs")
    given = parser.parse_args()
    n = 200 if given.quick else given.runs
    if shutil.which("cc") is None:
        raise SystemExit("no C compiler (cc)")
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.c").write_text(C_SOURCE)
        command = str(folder / "model")
        subprocess.run(["cc", "-O2", "-o", command, str(folder / "model.c")], check=True)
        for kind in ("function", "program"):
            bare = bare_seconds(kind, command)
            print(f"{kind}: {1e3 * bare:.3f} ms bare")
            n_each = min(n, 200)
            ways = {
                "campaign": (n, lambda k=kind: with_campaign(k, command, n, given.workers, folder)),
                "joblib": (n, lambda k=kind: with_joblib(k, command, n, given.workers)),
                "dask futures": (n, lambda k=kind: with_dask_futures(k, command, n, given.workers)),
                "a process each": (n_each, lambda k=kind, m=n_each: with_a_process_each(k, command, m, given.workers)),
            }
            for way, (runs, measure) in ways.items():
                seconds = measure()
                overhead = seconds * given.workers / runs - bare
                results.append({"model": kind, "way": way, "runs": runs, "seconds": seconds, "overhead_s": overhead})
                print(f"  {way:16} {runs:6} runs {seconds:8.2f} s   overhead {1e3 * overhead:8.3f} ms a run")
    peers = {name: version(name) for name in ("joblib", "dask", "distributed", "numpy", "campaign")}
    print(f"{given.workers} workers, {os.cpu_count()} cores; {peers}")
    if given.out:
        given.out.write_text(
            json.dumps({"schema": "campaign.benchmark/1", "peers": peers, "results": results}, indent=1)
        )


if __name__ == "__main__":
    main()
