"""Lanes side by side: closed up when some end, and the numbers of one by one."""

from __future__ import annotations

import numpy as np
import pytest

import campaign
from campaign.engines import lanes
from campaign.work import compiling

STARTS = [{"rate": 0.2 + 0.02 * i, "amplitude": 1.0 + 0.3 * i} for i in range(40)]


@pytest.mark.parametrize("engine", ["trf", "ensemble"])
def test_lanes_that_are_closed_up_give_what_each_run_gives_alone(engine, monkeypatch) -> None:
    options = {"max_steps": 40, "chunk_steps": 2} if engine == "trf" else {"walkers": 8, "steps": 20}
    common = {"options": {"data_seed": 7}, "engine_options": options}
    alone = campaign.fits("decay", engine, STARTS, **common)
    monkeypatch.setenv(compiling.FORCED, "all")
    sizes: list[int] = []
    real = lanes.ClosingLanes._narrow
    monkeypatch.setattr(lanes.ClosingLanes, "_narrow", lambda self, size: sizes.append(size) or real(self, size))
    together = campaign.fits("decay", engine, STARTS, **common)
    assert engine == "ensemble" or 8 in sizes  # most fits have ended
    for one, other in zip(alone, together, strict=True):
        assert one.outcome == other.outcome
        for name, value in one.theta.items():
            assert other.theta[name] == pytest.approx(value, rel=1e-6)
        n = min(len(one.trace["loss"]), len(other.trace["loss"]), 3)
        np.testing.assert_allclose(one.trace["loss"][:n], other.trace["loss"][:n], rtol=1e-6)
