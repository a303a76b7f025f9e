"""Separable fits by a gang: the same bits as by one process, whatever the blocks cut."""

from __future__ import annotations

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

import separable
from campaign.drive.doors import submit
from running import assert_same, table

PROBLEM = """
import numpy as np

from separable import by_rows, made


def curves():
    amplitudes = np.random.default_rng(0).uniform(0.5, 2.0, (5, 3))
    return by_rows(made([0.7, 2.5], amplitudes, start=[0.3, 1.5], n=400, lower=-1.0, upper=1.9))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gang")
    (folder / "curves.py").write_text(PROBLEM)
    shutil.copy(separable.__file__, folder)
    return folder


def fitted(folder, name, ranks):
    document = {
        "schema": "campaign/1",
        "name": "gang",
        "problem": {"name": "curves.py:curves"},
        "engine": {"name": "varpro", "chunk": 150, "chunk_steps": 2},
        "execution": {"executor": "inline", "ranks_per_block": ranks},
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document))
    submit(path, folder / name)
    return table(folder / name)


def test_a_gang_gives_the_same_bits(folder):
    alone = fitted(folder, "alone", 1)
    assert_same(fitted(folder, "three", 3), alone)
    (row,) = alone.to_pylist()
    assert row["outcome"] == "converged"
    problem = separable.made(
        [0.7, 2.5], np.random.default_rng(0).uniform(0.5, 2.0, (5, 3)), start=[0.3, 1.5], n=400, lower=-1.0, upper=1.9
    )
    theta = np.array([row[f"theta.{name}"] for name in problem.space.names])
    residuals = np.asarray(problem.residuals(jnp.asarray(theta)))
    np.testing.assert_allclose(row["metric.chi2"], residuals @ residuals, rtol=1e-11)
    np.testing.assert_allclose(theta[:2], [0.7, 2.5], atol=5 * row["stderr.rate1"])
