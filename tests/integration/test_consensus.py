"""Consensus Monte Carlo against closed forms: chains of parts of the data, combined, are the posterior of all."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.special import digamma, polygamma

from consensus_problem import TIMES, N
from running import here, write_manifest

K = 8
SHARDS: dict[str, Any] = {
    "name": "shards",
    "problem": {"name": "consensus_problem.py:TIMES_PLUGIN", "of": K},
    "engine": {"name": "nuts", "chains": 4, "warmup": 300, "steps": 1300},
    "expand": {"grid": {"problem.shard": {"range": [0, K, 1]}}},
}
WHOLE: dict[str, Any] = {
    "name": "whole",
    "start": {"from": "shards", "pick": "group"},
    "problem": {"name": "consensus", "parameters": {"rate": {"transform": "log"}}, "members": K, "skip": 300},
    "engine": {"name": "trf"},
}


def run(folder: Path, *stages: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    shutil.copy(Path(__file__).parents[1] / "consensus_problem.py", folder)
    manifest = write_manifest(folder, {"schema": "campaign/1", "name": "consensus", "stages": list(stages)})
    found = here("submit", manifest, "-d", folder / "r", "-e", "inline")
    (row,) = pq.read_table(
        folder / "r/tables/summary.parquet", filters=[("stage", "=", stages[-1]["name"])]
    ).to_pylist()
    return found, row


def changed(stage: dict[str, Any], **problem: Any) -> dict[str, Any]:
    own = copy.deepcopy(stage)
    own["problem"] |= problem
    return own


def test_parts_combine_to_the_posterior_of_all(tmp_path):
    """ln λ of Gamma(n + 1, Σ t) has mean ψ(n + 1) − ln Σ t and variance ψ′(n + 1); a shard has 12 of the 96 times.

    The shards are not quite Gaussian in ln λ, which a quarter of a standard deviation allows for. Eight factors |dθ/du|
    in the place of one would shift the mean by 0.7 of them.
    """
    found, row = run(tmp_path, SHARDS, WHOLE)
    assert found.returncode == 0, found.stderr
    mean, error = digamma(N + 1) - np.log(TIMES.sum()), polygamma(1, N + 1) ** 0.5
    assert np.log(row["theta.rate"]) == pytest.approx(mean, abs=0.25 * error)
    assert row["derived.stderr_u_rate"] == pytest.approx(error, rel=0.08)
    assert row["stderr.rate"] == pytest.approx(error * row["theta.rate"], rel=0.08)
    assert (row["derived.n_members"], row["derived.n_kept"], row["derived.spread_dof"]) == (K, K, K - 1)
    assert 0.5 < row["derived.spread"] < 24.3  # χ² of 7 degrees of freedom, 0.1 % on either side


def test_samplers_draw_from_it(tmp_path):
    sampled = WHOLE | {"engine": {"name": "nuts", "chains": 4, "warmup": 300, "steps": 2300}}
    found, row = run(tmp_path, SHARDS, sampled)
    assert found.returncode in (0, 1), found.stderr
    # Gamma(n + 1, Σ t): mean (n + 1)/Σ t, variance (n + 1)/(Σ t)²
    assert row["theta.rate"] == pytest.approx((N + 1) / TIMES.sum(), abs=0.25 * (N + 1) ** 0.5 / TIMES.sum())
    assert row["stderr.rate"] == pytest.approx((N + 1) ** 0.5 / TIMES.sum(), rel=0.1)


def test_a_shard_with_two_modes_is_not_averaged(tmp_path):
    bimodal = copy.deepcopy(SHARDS)
    bimodal["engine"] = {"name": "ensemble", "walkers": 32, "steps": 4000}
    bimodal["expand"] = {"zip": {"problem.shard": list(range(K)), "problem.apart": [0.0] * (K - 1) + [1.3]}}
    found, row = run(tmp_path, bimodal, changed(WHOLE, skip=500, max_rhat=1.5, min_ess=100))
    assert found.returncode != 0
    assert "7 of 8 members count, fewer than 0.9 of them: 1 have two modes" in row["message"]
    assert row["status"] == "failed"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": {"speed": {}}}, "the members have no `speed`"),
        ({"min_ess": 1e9}, "8 have fewer effective draws than `min_ess`"),
        ({"members": 10}, "8 of 10 members count, fewer than 0.9 of them: 2 have not ended ok"),
        ({"skip": 10**6}, "`skip` leaves none of"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, change, said):
    quick = SHARDS | {"engine": {"name": "nuts", "chains": 2, "warmup": 100, "steps": 400}}
    found, row = run(tmp_path, quick, changed(WHOLE, **{"min_ess": 50, "skip": 100, **change}))
    assert found.returncode != 0
    assert said in row["message"]
