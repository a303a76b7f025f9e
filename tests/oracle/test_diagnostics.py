"""R-hat, ESS and tau against numbers of ArviZ 0.23.4 and emcee 3.1.6, and against the libraries that are installed."""

import json
import math
from pathlib import Path

import emcee
import numpy as np
import pytest
from arviz_stats.base import array_stats

from campaign import diagnostics

DATA = Path(__file__).parent / "data"
GOLDEN = json.loads((DATA / "golden_diagnostics.json").read_text())
CHAINS = np.load(DATA / "golden_chains.npz")


@pytest.mark.parametrize("name", [n for n in GOLDEN if not n.startswith("constant")])
def test_published_numbers(name):
    draws, expected = CHAINS[name].T, GOLDEN[name]
    assert diagnostics.rhat(draws) == pytest.approx(expected["rhat_rank"], rel=1e-10)
    assert diagnostics.ess_bulk(draws) == pytest.approx(expected["ess_bulk"], rel=1e-8)
    assert diagnostics.ess_tail(draws) == pytest.approx(expected["ess_tail"], rel=1e-8)
    assert diagnostics.ess_mean(draws) == pytest.approx(expected["ess_mean"], rel=1e-8)
    assert diagnostics.ess_sd(draws) == pytest.approx(expected["ess_sd"], rel=1e-8)
    assert diagnostics.ess_quantile(draws, 0.5) == pytest.approx(expected["ess_median"], rel=1e-8)
    assert diagnostics.ess_quantile(draws, 0.05) == pytest.approx(expected["ess_quantile_0.05"], rel=1e-8)
    assert diagnostics.mcse_mean(draws) == pytest.approx(expected["mcse_mean"], rel=1e-8)
    assert diagnostics.mcse_sd(draws) == pytest.approx(expected["mcse_sd"], rel=1e-8)
    assert diagnostics.mcse_quantile(draws, 0.5) == pytest.approx(expected["mcse_median"], rel=1e-8)
    assert diagnostics.autocorrelation_time(draws) == pytest.approx(expected["emcee_tau_c5"], rel=1e-8)


def test_rank_normalised_rhat_sees_what_plain_rhat_does_not():
    """Chains of equal mean and unequal scale: the plain split R-hat is 0.9996."""
    assert GOLDEN["shifted_scale_4x400"]["classic_split_rhat"] < 1.0
    assert diagnostics.rhat(CHAINS["shifted_scale_4x400"].T) > 1.2


def test_constant_or_broken_chains():
    constant = CHAINS["constant_2x100"].T
    assert math.isnan(diagnostics.rhat(constant))
    assert diagnostics.ess_bulk(constant) == 200
    assert diagnostics.ess_tail(constant) == 200
    assert math.isnan(diagnostics.autocorrelation_time(constant))
    broken = np.random.default_rng(0).normal(size=(50, 3))
    broken[7, 1] = np.nan
    functions = [diagnostics.rhat, diagnostics.ess_bulk, diagnostics.ess_tail, diagnostics.ess_mean, diagnostics.ess_sd]
    functions += [diagnostics.mcse_mean, diagnostics.mcse_sd, lambda x: diagnostics.mcse_quantile(x, 0.9)]
    assert all(math.isnan(f(broken)) for f in [*functions, diagnostics.autocorrelation_time])
    assert all(math.isnan(f(np.zeros((3, 4)))) for f in functions)


def test_a_stuck_walker_does_not_hide_the_others_tau():
    draws = CHAINS["ar1_0.9_4x1000"].T
    stuck = np.column_stack([draws, np.zeros(1000)])
    assert diagnostics.autocorrelation_time(stuck) == diagnostics.autocorrelation_time(draws)


@pytest.mark.parametrize("n_chains", [2, 3, 8])
@pytest.mark.parametrize("n_steps", [4, 5, 6, 7, 9, 10, 11, 51, 200])
def test_equal_to_arviz_on_short_and_odd_chains(n_steps, n_chains):
    rng = np.random.default_rng(n_steps * 10 + n_chains)
    alternating = (-1.0) ** np.arange(n_steps)[:, None]
    noise = rng.normal(size=(3, n_steps, n_chains))
    for draws in (noise[0], np.cumsum(noise[1], axis=0), 0.2 * noise[2] + alternating * rng.normal(size=n_chains)):
        axes = {"chain_axis": 0, "draw_axis": 1}
        bulk = float(array_stats.ess(draws.T, method="bulk", **axes))
        tail = float(array_stats.ess(draws.T, method="tail", prob=(0.05, 0.95), **axes))
        assert diagnostics.ess_bulk(draws) == pytest.approx(bulk, rel=1e-9)
        mean, sd = (float(array_stats.ess(draws.T, method=m, **axes)) for m in ("mean", "sd"))
        assert (diagnostics.ess_mean(draws), diagnostics.ess_sd(draws)) == pytest.approx((mean, sd), rel=1e-9)
        for q in (0.1, 0.5, 0.95):
            expected = float(array_stats.mcse(draws.T, method="quantile", prob=q, **axes))
            assert diagnostics.mcse_quantile(draws, q) == pytest.approx(expected, rel=1e-9)
        assert diagnostics.ess_tail(draws) == pytest.approx(tail, rel=1e-9)
        assert diagnostics.rhat(draws) == pytest.approx(float(array_stats.rhat(draws.T, **axes)), rel=1e-9)


def test_tau_equal_to_emcee_and_to_an_autoregression():
    """AR(1) with coefficient 0.8: tau = (1 + 0.8)/(1 − 0.8) = 9."""
    rng = np.random.default_rng(3)
    draws = np.empty((20000, 8))
    draws[0] = rng.normal(size=8) / 0.6
    for t in range(1, len(draws)):
        draws[t] = 0.8 * draws[t - 1] + rng.normal(size=8)
    tau = diagnostics.autocorrelation_time(draws)
    assert tau == pytest.approx(float(emcee.autocorr.integrated_time(draws)[0]), rel=1e-10)
    assert tau == pytest.approx(9.0, rel=0.05)
