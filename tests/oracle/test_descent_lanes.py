"""Runs side by side, as on an accelerator, against the same runs one by one. G-… are rows of the specification."""

import numpy as np
import pytest

import campaign
from campaign.engines.lanes import ClosingLanes
from campaign.work import compiling

STARTS = [{"amplitude": 1.9 + 0.02 * i, "rate": 0.7 + 0.01 * i, "offset": 0.45, "drift": 0.03} for i in range(32)]


@pytest.mark.parametrize("engine", ["gd", "pgd", "optax"])
def test_thirty_two_lanes_are_thirty_two_single_runs(engine, monkeypatch):
    """G-01, to 1e-10, also where some runs end before others."""
    common = {"options": {"data_seed": 7}, "engine_options": {"max_steps": 40, "chunk_steps": 20}}
    alone = campaign.fits("decay", engine, STARTS, **common)
    single = campaign.fit("decay", engine, start=STARTS[5], **common)
    monkeypatch.setenv(compiling.FORCED, "all")
    widths = []
    real = ClosingLanes.advance
    monkeypatch.setattr(
        ClosingLanes, "advance", lambda self, work, lanes: widths.append(len(lanes.outcome)) or real(self, work, lanes)
    )
    together = campaign.fits("decay", engine, STARTS, **common)
    assert set(widths) == {32}
    np.testing.assert_array_equal(single.trace["theta"], alone[5].trace["theta"])
    for one, other in zip(alone, together, strict=True):
        assert (one.outcome, one.n_steps) == (other.outcome, other.n_steps)
        np.testing.assert_allclose(other.trace["theta"], one.trace["theta"], rtol=1e-10)
        np.testing.assert_allclose(other.trace["loss"], one.trace["loss"], rtol=1e-10)
        np.testing.assert_allclose(list(other.theta.values()), list(one.theta.values()), rtol=1e-10)


def test_one_compilation_a_layout(monkeypatch):
    """G-02: other starts, data and rates are the same program, and another set of parameters is another one."""
    made = []
    real = compiling.program_for
    monkeypatch.setattr(compiling, "program_for", lambda *own, **more: made.append(1) or real(*own, **more))
    own = {"max_steps": 11, "chunk_steps": 11}
    for seed, rate in ((1, 0.1), (2, 0.2), (3, 0.2)):
        start = STARTS[seed]
        options = {**own, "base_lr": rate}
        campaign.fit("decay", "pgd", start=start, options={"data_seed": seed}, engine_options=options)
    assert len(made) == 1
    campaign.fit("decay", "pgd", start=STARTS[0], free=["amplitude"], engine_options={**own, "base_lr": 0.1})
    assert len(made) == 2


@pytest.mark.parametrize("engine", ["gd", "pgd", "optax"])
def test_numbers_beside_the_loss_change_no_trace(engine):
    """O-03: where others return (loss, aux), a problem names its further numbers in `derived` and `predict`."""
    from campaign.problem.reference import decay
    from campaign.problem.reference.catalogue import DecayOptions

    problem = decay.build(DecayOptions(data_seed=1))

    class More(type(problem)):
        def derived(self, theta):
            return {"largest": abs(self.residuals(theta)).max(), "first": self.residuals(theta)[0]}

    more = object.__new__(More)
    for name, value in vars(problem).items():
        object.__setattr__(more, name, value)
    options = {"max_steps": 30}
    one, other = (campaign.fit(own, engine, start=STARTS[0], engine_options=options) for own in (problem, more))
    assert {"largest", "first"} <= other.derived.keys()
    for name in ("loss", "theta"):
        np.testing.assert_array_equal(one.trace[name], other.trace[name])
