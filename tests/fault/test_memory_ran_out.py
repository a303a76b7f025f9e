"""Memory runs out in a run of people's code, and the system ends the process: that run alone is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from running import command, table, write_manifest

MODEL = """
import equinox as eqx, jax, jax.numpy as jnp, numpy as np
from campaign.science import Parameter, Problem, ThetaSpace


class Level(Problem):
    space: ThetaSpace = eqx.field(static=True)
    k: jax.Array

    def residuals(self, theta):
        def look(k):
            kept = [np.ones(5_000_000) for _ in range(1000 if int(k) == 3 else 0)]
            return np.float64(len(kept))

        nothing = jax.pure_callback(look, jax.ShapeDtypeStruct((), float), self.k, vmap_method="sequential")
        return theta - self.k + nothing


def level(k: float = 0.0) -> Level:
    return Level(ThetaSpace((Parameter(name="a", initial=1.0),)), jnp.asarray(k))
"""
BYTES = 1_500_000_000


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group with little memory: its `cgroup.procs`."""
    root = Path("/sys/fs/cgroup")
    first, limit = (root / "memory", "memory.limit_in_bytes") if (root / "memory").is_dir() else (root, "memory.max")
    folder = first / f"campaign-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / limit).write_text(str(BYTES))
    except OSError as error:
        if folder.is_dir():
            folder.rmdir()
        pytest.skip(f"no control group can be made here: {error}")
    yield folder / "cgroup.procs"
    folder.rmdir()


def test_the_run_that_takes_all_memory_is_lost_alone(tmp_path, group):
    (tmp_path / "own.py").write_text(MODEL)
    document = {
        "schema": "campaign/1",
        "name": "memory",
        "problem": {"name": "own.py:level"},
        "engine": {"name": "trf"},
        "expand": {"grid": {"problem.k": {"range": [0, 6, 1]}}},
    }
    words = command("submit", write_manifest(tmp_path, document), "-d", tmp_path / "c", "-e", "inline")
    inside = ["sh", "-c", f'echo $$ > {group}; exec "$@"', "sh", *words]
    done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 4, done.stderr
    assert "memory ran out" in done.stderr
    found = table(tmp_path / "c").to_pandas().set_index("problem.k")
    assert found.loc[[0, 1, 2, 4, 5], "theta.a"].tolist() == [0.0, 1.0, 2.0, 4.0, 5.0]
    assert found.loc[3, "outcome"] == "lost"
    assert "memory ran out" in found.loc[3, "message"]
