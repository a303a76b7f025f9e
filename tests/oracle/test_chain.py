"""A chain's numbers against those that ArviZ 0.23.4 and emcee 3.1.6 gave, and against ArviZ on the exported tree."""

import json
from pathlib import Path

import numpy as np
import pytest
from arviz_stats.base import array_stats

from campaign.analysis.chain import Chain

DATA = Path(__file__).parent / "data"
GOLDEN = json.loads((DATA / "golden_diagnostics.json").read_text())
DRAWS = np.load(DATA / "golden_chains.npz")


def chain_of(*draws, **more):
    samples = np.stack([one.T for one in draws], axis=2)
    names = tuple("ab"[: len(draws)])
    return Chain(samples=samples, log_probs=np.zeros(samples.shape[:2]), names=names, **more)


@pytest.mark.parametrize("name", [n for n in GOLDEN if not n.startswith("constant")])
@pytest.mark.filterwarnings("ignore:the chain is shorter than 50")
def test_published_numbers(name):
    chain, expected = chain_of(DRAWS[name]), GOLDEN[name]
    assert chain.r_hat()["a"] == pytest.approx(expected["rhat_rank"], rel=1e-10)
    for kind in ("bulk", "tail", "mean", "sd"):
        assert chain.ess(kind=kind)["a"] == pytest.approx(expected[f"ess_{kind}"], rel=1e-8)
    assert chain.ess(kind="quantile", probability=0.05)["a"] == pytest.approx(expected["ess_quantile_0.05"], rel=1e-8)
    assert chain.mcse()["a"] == pytest.approx(expected["mcse_mean"], rel=1e-8)
    assert chain.mcse(kind="sd")["a"] == pytest.approx(expected["mcse_sd"], rel=1e-8)
    assert chain.mcse(kind="quantile")["a"] == pytest.approx(expected["mcse_median"], rel=1e-8)
    n_draws = DRAWS[name].size
    tau = max(expected["emcee_tau_c5"], 1 / np.log10(n_draws))  # emcee's own is −0.23 for the antithetic chain
    assert chain.autocorr_time()["a"] == pytest.approx(tau, rel=1e-8)
    assert chain.ess(kind="tau")["a"] == pytest.approx(n_draws / tau, rel=1e-8)
    mean, covariance = chain.moments()
    assert (mean[0], np.sqrt(covariance[0, 0])) == pytest.approx((expected["mean"], expected["sd"]), rel=1e-12)


def test_the_antithetic_chain_is_the_one_that_needs_a_floor():
    assert GOLDEN["antithetic_4x500"]["emcee_tau_c5"] < 0


def test_chains_of_unequal_scale_have_not_converged_though_the_classic_r_hat_says_so():
    assert GOLDEN["shifted_scale_4x400"]["classic_split_rhat"] < 1.0
    verdict = chain_of(DRAWS["shifted_scale_4x400"]).is_converged(r_hat_threshold=1.1)
    assert not verdict
    assert "R-hat between walkers is 1.211, above 1.1" in str(verdict)


def test_r_hat_over_ensembles_is_that_of_their_draws_in_a_row():
    draws = np.random.default_rng(4).normal(size=(3, 8, 500))
    draws[2] += 0.05
    merged = Chain.merge(*(chain_of(one) for one in draws))
    rows = draws.transpose(0, 2, 1).reshape(3, -1)
    expected = float(array_stats.rhat(rows, chain_axis=0, draw_axis=1))
    assert merged.r_hat()["a"] == pytest.approx(expected, rel=1e-12)


def test_arviz_reads_the_exported_tree():
    """Rows from step 303 on, one in three steps, with walkers as chains."""
    arviz = pytest.importorskip("arviz_base", reason="ArviZ's functions of trees need arviz-base")
    chain = chain_of(DRAWS["ar1_0.9_4x1000"], 2.0 + DRAWS["ar1_0.9_4x1000"][::-1], thin=3)
    found = arviz.extract(chain.to_inference_data(discard=300), group="posterior", combined=False)
    assert dict(found.sizes) == {"chain": 4, "draw": 900}
    for name, r_hat in chain.r_hat(300).items():
        own = found[name].transpose("chain", "draw").to_numpy()
        assert float(array_stats.rhat(own, chain_axis=0, draw_axis=1)) == pytest.approx(r_hat, rel=1e-10)
