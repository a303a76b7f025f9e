"""The chain of a planted run: its steps, thinning, burn-in, and that it is read when it is used."""

import numpy as np
import pytest

import planting as p
from campaign.analysis.handle import open_campaign
from campaign.errors import InvalidValue, UnknownName
from campaign.store.traces import Field, TraceSpec, ensure_group, write_chunks

WALKERS, ROWS, EVERY, THIN = 6, 40, 2, 5
PLAN = p.Planting(n_runs=1, block_size=1)
RUN = PLAN.run_id(0)
ENGINE = {"name": "ensemble", "steps": 2 * ROWS * THIN, "thin": THIN, "burn_in": 0.25}
RANDOM = np.random.default_rng(6)
THETA, LOG_PROB = RANDOM.normal(size=(ROWS, WALKERS, 2)), RANDOM.normal(size=(ROWS, WALKERS))
ACCEPTED = RANDOM.random(ROWS)


@pytest.fixture
def sampled(tmp_path):
    """One run that recorded every second engine step of five updates; it was stopped a few rows before the end."""
    layout = p.plant(tmp_path, PLAN)
    p.declare(layout, PLAN, engine=ENGINE)
    shared = {"dtype": "float64", "run_chunk": 1}
    spec = TraceSpec(
        n_rows=1,
        block_size=1,
        fields=(
            Field(
                name="theta", dims=("step", "walker", "parameter"), shape=THETA.shape, chunk=(8, WALKERS, 2), **shared
            ),
            Field(name="log_prob", dims=("step", "walker"), shape=LOG_PROB.shape, chunk=(8, WALKERS), **shared),
            Field(name="accepted", dims=("step",), shape=(ROWS,), chunk=(8,), **shared),
        ),
        coordinates={
            "run_id": (("run",), np.array([PLAN.run_id(0)]), ""),
            "step": (("step",), EVERY * np.arange(ROWS), ""),
            "parameter": (("parameter",), np.array(["k", "alpha"]), ""),
            "parameter_unit": (("parameter",), np.array(["1/s", ""]), ""),
        },
        attributes={},
    )
    group = ensure_group(layout, "fit", PLAN.program_name(0), spec)
    arrays = {"theta": THETA, "log_prob": LOG_PROB, "accepted": ACCEPTED}
    write_chunks(group, spec, [(name, 0, 0, array[None]) for name, array in arrays.items()])
    p.publish(layout, PLAN, changes={0: {"n_steps": 71}})
    return open_campaign(layout.root)


def test_the_chain_of_a_run(sampled):
    chain = sampled.chain(RUN)
    assert (chain.names, chain.units) == (("k", "alpha"), ("1/s", ""))
    assert (len(chain), chain.thin, chain.steps) == (36, EVERY * THIN, 71 * THIN)
    assert chain.burn_in == 100  # a quarter of 400 steps
    np.testing.assert_array_equal(chain.flat_samples(), THETA[10:36].reshape(-1, 2))
    np.testing.assert_array_equal(np.asarray(chain.log_probs[:]), LOG_PROB[:36])
    assert chain.mean_acceptance_rate() == pytest.approx(ACCEPTED[:36].mean())
    with pytest.raises(InvalidValue, match="acceptance by walker was not kept"):
        chain.acceptance_fraction()


def test_pieces_are_the_chunks_on_disk(sampled):
    assert [len(piece) for piece in sampled.chain(RUN).pieces(0)] == [8, 8, 8, 8, 4]
    assert [len(piece) for piece in sampled.chain(RUN).pieces()] == [6, 8, 8, 4]


def test_a_run_without_walkers_is_no_chain(tmp_path):
    fit = p.Planting(n_runs=2)
    layout = p.plant(tmp_path, fit)
    p.publish_traces(layout, fit, 0)
    p.publish(layout, fit)
    with pytest.raises(InvalidValue, match=r"is no chain: it recorded `theta` over \(step, parameter\)"):
        open_campaign(layout.root).chain(RUN[:8])
    with pytest.raises(UnknownName, match="no run begins with"):
        open_campaign(layout.root).chain("zz")
