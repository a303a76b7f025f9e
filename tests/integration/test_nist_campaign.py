"""NIST StRD, data sets from both starting points, as one campaign: at least six certified digits.

Every third data set, each a program of its own; `tests/oracle/test_nist.py` fits them all.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from campaign.manifest.load import load
from campaign.problem.reference.nist_data import NIST_NAMES, read_nist
from campaign.schedule.planning import plan_stage
from running import campaign

pytestmark = pytest.mark.long

MANIFEST = Path(__file__).parents[2] / "manifests" / "nist.json"


def digits(found: np.ndarray, certified: np.ndarray) -> float:
    """Smallest number of agreeing digits (log relative error), 11 at most: NIST certifies no more."""
    return float(min(11.0, np.min(-np.log10(np.abs(found / certified - 1) + 1e-16))))


def test_the_manifest_has_all_data_sets_and_both_starts() -> None:
    manifest = load(MANIFEST)
    rows = plan_stage(manifest, manifest.stages[0]).rows.to_pylist()
    assert sorted((row["problem.dataset"], row["problem.start_point"]) for row in rows) == [
        (name, start) for name in sorted(NIST_NAMES) for start in (1, 2)
    ]


def test_data_sets_from_both_starts(tmp_path: Path) -> None:
    certified = {name: read_nist(name) for name in NIST_NAMES[::3]}
    chosen = f"expand.grid.problem.dataset={json.dumps(list(certified))}"
    done = campaign("submit", MANIFEST, "-d", tmp_path / "c", "--executor", "inline", "--set", chosen)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "c" / "tables" / "summary.parquet")
    assert len(table) == 2 * len(certified) == 12
    assert set(table["outcome"]) == {"converged"}
    for _, row in table.iterrows():
        truth = certified[row["problem.dataset"]]
        names = [f"b{i + 1}" for i in range(len(truth.certified))]
        place = f"{row['problem.dataset']} from start {row['problem.start_point']}"
        theta = row[[f"theta.{n}" for n in names]].to_numpy(float)
        assert digits(theta, truth.certified) >= 6, place
        assert row["metric.dof"] == len(truth.y) - len(names)
        if row["problem.dataset"] == "Lanczos1":
            continue  # data exact to 13 digits: the residuals, and errors made from them, are rounding
        stderr = row[[f"stderr.{n}" for n in names]].to_numpy(float)
        assert digits(stderr, truth.certified_sd) >= 6, place
        assert row["metric.chi2"] == pytest.approx(truth.certified_rss, rel=1e-8), place
