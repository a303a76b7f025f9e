"""Bias and scatter from a table, against numbers that were drawn with a known bias."""

import numpy as np
import pandas
import pytest

from campaign_optics import bias_and_scatter


def test_a_known_bias_is_found():
    rng = np.random.default_rng(2)
    n = 4000
    delta = {"x": rng.normal(0.0, 2.0, n), "y": rng.normal(0.5, 2.0, n)}
    table = pandas.DataFrame({f"final_delta.{name}": own for name, own in delta.items()})
    table["stderr.x"], table["stderr.y"], table["status"] = 2.0, 1.0, "ok"
    table.loc[0, ["status", "final_delta.x"]] = ["failed", 1e9]
    table["final_delta.fixed"] = 0.0
    found = bias_and_scatter(table)
    assert list(found.index) == ["x", "y"]
    assert found["n"].tolist() == [n - 1, n - 1]
    assert found.loc["x", "bias"] == pytest.approx(delta["x"][1:].mean(), rel=1e-12)
    assert found.loc["x", "scatter"] == pytest.approx(2.0, rel=0.05)
    assert found.loc["y", "pull_sd"] == pytest.approx(2.0, rel=0.05)
    assert not found.loc["x", "is_biased"]
    assert found.loc["y", "is_biased"]
    assert found.loc["y", "bias"] == pytest.approx(0.5, abs=4.0 * 2.0 / np.sqrt(n))
