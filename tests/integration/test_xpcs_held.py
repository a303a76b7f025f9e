"""A fit in a cgroup with little memory: it leaves the maps in their file, survives, and says why."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

import xpcs_sets
from campaign.interpreter import running

N_PHI, N = 10, 1200  # 7 million pairs, 115 MB as they are stored
LIMIT = 660 << 20  # bytes: interpreter, libraries and a compiled fit have 590 MB, and the maps would add 250
V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@pytest.fixture
def cgroup():
    """The folder of a group of its own, with a limit of memory."""
    name = f"campaign-test-{uuid.uuid4().hex[:8]}"
    root = V1 if (V1 / "memory.limit_in_bytes").exists() else V2
    folder = root / name
    try:
        folder.mkdir()
        limit = folder / ("memory.limit_in_bytes" if root == V1 else "memory.max")
        limit.write_text(str(LIMIT))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        pytest.skip(f"no cgroup with a limit of memory can be made here: {error}")
    yield folder
    folder.rmdir()


def write_maps(path: Path) -> None:
    """An angle at a time, in the layout of APS-U."""
    phi = xpcs_sets.angles(N_PHI)
    with h5py.File(path, "w") as file:
        file["xpcs/qmap/dynamic_v_list_dim0"] = [xpcs_sets.Q]
        file["xpcs/qmap/dynamic_v_list_dim1"] = phi
        file["xpcs/twotime/processed_bins"] = np.arange(1, N_PHI + 1)
        file["entry/instrument/detector_1/frame_time"] = xpcs_sets.DT
        for key in ("stride_frame", "avg_frame"):
            file[f"xpcs/twotime/config/{key}"] = 1
        for k, angle in enumerate(phi):
            c2 = xpcs_sets.model(xpcs_sets.TRUE, angle[None], N, *xpcs_sets.scales(angle[None]))[0]
            noise = xpcs_sets.SIGMA * np.random.default_rng(k).standard_normal((N, N))
            file[f"xpcs/twotime/correlation_map/c2_{k + 1:05d}"] = np.triu(c2 + noise)


def submitted(folder: Path, cgroup: Path, held: str) -> int:
    """Exit code of a campaign of one fit whose process moves into the group before anything else."""
    content = {
        "schema": "campaign/1",
        "name": held,
        "problem": {
            "name": "xpcs",
            "data": "maps.h5",
            "gap": xpcs_sets.GAP,
            "sigma": xpcs_sets.SIGMA,
            "shear_model": "homodyne-compat",
            "values": xpcs_sets.TRUE,
            "fixed": ["D_offset", "gamma_dot_t_offset"],
            "n_phi": N_PHI,
            "held": held,
        },
        "engine": {"name": "varpro"},
        "trace": False,
        "execution": {"executor": "inline"},
    }
    (folder / f"{held}.json").write_text(json.dumps(content))
    enter = f"import os; open({str(cgroup / 'cgroup.procs')!r}, 'w').write(str(os.getpid())); "
    rest = [*running("campaign"), "submit", str(folder / f"{held}.json"), "-d", str(folder / held), "--quiet"]
    command = [sys.executable, "-c", f"{enter}os.execv({rest[0]!r}, {rest!r})"]
    return subprocess.run(command, cwd=folder, env=os.environ, timeout=600, check=False).returncode


@pytest.mark.long
def test_a_fit_with_little_memory_reads_by_slices_and_survives(tmp_path, cgroup):
    write_maps(tmp_path / "maps.h5")
    assert submitted(tmp_path, cgroup, "memory") < 0  # killed: the limit is one
    assert submitted(tmp_path, cgroup, "auto") == 0
    (row,) = pq.read_table(tmp_path / "auto" / "tables" / "summary.parquet").to_pylist()
    assert row["outcome"] == "converged"
    assert row["rows_held"].startswith(f"row blocks: {N_PHI * N * (N - 1) // 2} rows and 9 parameters need about ")
    assert row["rows_held"].endswith("GB that its cgroup has free")
    assert abs(row["metric.reduced_chi2"] - 1.0) < 5.0 * np.sqrt(2.0 / row["metric.dof"])
    for name in ("D0", "alpha", "gamma_dot_t0", "beta", "phi0"):
        assert abs(row[f"theta.{name}"] - xpcs_sets.TRUE[name]) < 4.0 * row[f"stderr.{name}"]
