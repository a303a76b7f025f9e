"""One least-squares fit of 4,000,000 rows × 20 parameters from a file, by gangs of 1, 2 and 4 processes.

The load: r_i = Σ_j x_ij c_j + 0.01 sin c_0 − y_i, float64, an .npy file of 672 MB that nobody holds in memory. Every
figure is that of a whole process: interpreter, imports, compilation, members. Memory is the largest resident set of any
one process, looked at every 20 ms; private memory is without libraries and other mapped files. The peer is the same fit
with all rows in memory: its χ² must be the same to rounding, and the table of a gang must be that of one process bit by
bit.

    python benchmarks/rows.py [--rows 4000000] [--ranks 1 2 4] [--out benchmarks/results/rows.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq

from campaign.reduce.schema import comparable

D = 20
PROBLEM = """
from typing import Annotated, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.problem.base import Problem
from campaign.problem.rows import MappedRows
from campaign.registry import DataFile
from campaign.space import Parameter, ThetaSpace


def _residuals(rows, theta):
    return jnp.sum(rows[:, :-1] * theta[None, :], axis=1) + 0.01 * jnp.sin(theta[0]) - rows[:, -1]


def _space(d):
    return ThetaSpace(tuple(Parameter(name=f"c{i}", initial=0.0) for i in range(d)))


class Resident(Problem):
    space: ThetaSpace = eqx.field(static=True)
    table: jax.Array
    absolute_sigma: ClassVar[bool] = False

    def residuals(self, theta):
        return _residuals(self.table, theta)


class OnDisk(Problem):
    space: ThetaSpace = eqx.field(static=True)
    source: MappedRows = eqx.field(static=True)
    absolute_sigma: ClassVar[bool] = False

    @property
    def n_residuals(self):
        return self.source.shape[0]

    def residual_rows(self, theta, start, size):
        return _residuals(self.source.rows(start, size), theta)

    def residuals(self, theta):
        return self.residual_rows(theta, jnp.zeros((), jnp.int32), self.n_residuals)


def resident(table: Annotated[str, DataFile()]) -> Resident:
    values = np.load(table)
    return Resident(_space(values.shape[1] - 1), jnp.asarray(values))


def on_disk(table: Annotated[str, DataFile()]) -> OnDisk:
    source = MappedRows(table)
    return OnDisk(_space(source.shape[1] - 1), source)
"""


def write_table(path: Path, n: int) -> None:
    """Rows (x_1 … x_20, y) with y = Σ j x_j + noise, written a part at a time."""
    rng = np.random.default_rng(1)
    table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float64, shape=(n, D + 1))
    for start in range(0, n, 100_000):
        rows = table[start : start + 100_000]
        rows[:, :-1] = rng.standard_normal((len(rows), D))
        rows[:, -1] = rows[:, :-1] @ np.arange(1.0, D + 1) + rng.standard_normal(len(rows))
    table.flush()


def fit(folder: Path, problem: str, ranks: int) -> dict:
    """One campaign of one run, in a process of its own."""
    name = f"{problem}{ranks}"
    manifest = {
        "schema": "campaign/1",
        "name": "rows",
        "problem": {"name": f"rows.py:{problem}", "table": "table.npy"},
        "engine": {"name": "trf"},
        "execution": {"executor": "inline", "ranks_per_block": ranks},
    }
    (folder / f"{name}.json").write_text(json.dumps(manifest))
    command = [sys.executable, "-m", "campaign", "submit", folder / f"{name}.json", "-d", folder / name]
    started = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    peak: dict[int, int] = {}
    private: dict[int, int] = {}
    while process.poll() is None:
        try:
            for one in (process, *process.children(recursive=True)):
                memory = one.memory_info()
                peak[one.pid] = max(peak.get(one.pid, 0), memory.rss)
                private[one.pid] = max(private.get(one.pid, 0), memory.rss - memory.shared)
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode}")
    seconds = time.perf_counter() - started
    table = pq.read_table(folder / name / "tables" / "summary.parquet")
    (row,) = table.to_pylist()
    members = sorted((v / 1e6 for pid, v in peak.items() if pid != process.pid), reverse=True)
    return {
        "problem": problem,
        "ranks_per_block": ranks,
        "seconds": round(seconds, 2),
        "run_s": round(row["runtime_s"], 2),
        "n_steps": row["n_steps"],
        "chi2": row["metric.chi2"],
        "outcome": row["outcome"],
        "leader_mb": round(peak[process.pid] / 1e6),
        "leader_private_mb": round(private[process.pid] / 1e6),
        "members_mb": [round(m) for m in members],
        "table": comparable(table),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="campaign-rows-") as name:
        folder = Path(name)
        (folder / "rows.py").write_text(PROBLEM)
        write_table(folder / "table.npy", arguments.rows)
        found = [fit(folder, "resident", 1), *(fit(folder, "on_disk", ranks) for ranks in arguments.ranks)]
    tables = [one.pop("table") for one in found]
    is_same = all(table.equals(tables[1]) for table in tables[2:])
    apart = max(abs(one["chi2"] / found[0]["chi2"] - 1) for one in found)
    for one in found:
        print(json.dumps(one))
    print(f"gangs give the same bits: {is_same}; chi2 by blocks and resident differ by {apart:.1e} of it")
    if arguments.out is not None:
        machine = {"python": platform.python_version(), "processors": os.cpu_count(), "load": os.getloadavg()[0]}
        result = {"rows": arguments.rows, "same_bits": is_same, "chi2_apart": apart, "fits": found, "machine": machine}
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
