"""What a chain answers, from arrays whose answers can be worked out."""

import numpy as np
import pytest

from campaign.analysis.chain import Chain
from campaign.errors import InvalidValue, UnknownName

RANDOM = np.random.default_rng(2)


def chain_of(draws, **more):
    names = tuple("abcdefgh"[: draws.shape[2]])
    return Chain(**{"samples": draws, "log_probs": -0.5 * (draws**2).sum(axis=2), "names": names} | more)


def white(n=600, walkers=8, d=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, walkers, d))


class Watched:
    """An array that notes how many rows are read at a time."""

    def __init__(self, array):
        self.array, self.shape, self.most = array, array.shape, 0

    def __getitem__(self, rows):
        found = self.array[rows]
        self.most = max(self.most, len(found))
        return found


def test_discard_counts_sampler_steps():
    """10,000 steps, one in 100 stored, 32 walkers: 1,000 steps are 10 rows."""
    chain = chain_of(white(100, 32, 3), thin=100)
    assert (chain.steps, len(chain), chain.n_walkers) == (10_000, 100, 32)
    assert chain.flat_samples(discard=1000).shape == (90 * 32, 3)
    assert chain.flat_samples(discard=901).shape == (90 * 32, 3)
    assert chain.flat_samples().shape == (3200, 3)
    for discard in (10_000, 20_000, 9_901, -1):
        with pytest.raises(InvalidValue, match="leaves nothing of a chain of 10,000 steps"):
            chain.flat_samples(discard=discard)


def test_steps_need_not_be_a_multiple_of_thin():
    chain = chain_of(white(3, 4), thin=4, n_steps=14)
    assert chain.steps == 14
    assert chain.first_row(8) == 2
    with pytest.raises(InvalidValue):
        chain.first_row(13)


def test_what_the_sampler_left_out_is_the_default():
    chain = chain_of(white(100), burn_in=25)
    assert len(chain.flat_samples()) == 75 * 8
    assert len(chain.flat_samples(0)) == 800


def test_flat_samples_go_through_the_walkers_of_a_step_first():
    draws = np.arange(2 * 3 * 2.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(chain_of(draws).flat_samples(), np.arange(12.0).reshape(6, 2))


def test_shapes_that_do_not_fit():
    draws = white(10)
    for wrong in (
        {"names": ("a",)},
        {"log_probs": np.zeros((10, 7))},
        {"accepted": np.zeros((9, 8))},
        {"n_ensembles": 3},
        {"thin": 0},
    ):
        with pytest.raises(InvalidValue):
            chain_of(draws, **wrong)


def test_moments_and_quantiles_read_a_few_rows_at_a_time(monkeypatch):
    monkeypatch.setattr("campaign.analysis.chain._PIECE", 1 << 16)
    draws = white(1500, 16, 4) * np.arange(1, 5) + 3.0
    watched = Watched(draws)
    chain = chain_of(draws, samples=watched, thin=2)
    mean, covariance = chain.moments(discard=200)
    flat = draws[100:].reshape(-1, 4)
    np.testing.assert_allclose(mean, flat.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(covariance, np.cov(flat.T), rtol=1e-12, atol=1e-12)
    found = chain.quantiles((0.05, 0.5, 0.95), discard=200)
    np.testing.assert_allclose(found, np.quantile(flat, (0.05, 0.5, 0.95), axis=0), rtol=1e-14)
    assert watched.most == (1 << 16) // (16 * 4 * 8)


def test_long_chains_are_judged_by_every_second_row(monkeypatch):
    monkeypatch.setattr("campaign.analysis.chain.MAX_JUDGED", 1000 * 8 * 2 * 8)
    draws = np.zeros((2000, 8, 2))
    for t in range(1, 2000):
        draws[t] = 0.9 * draws[t - 1] + RANDOM.normal(size=(8, 2))
    long, every = chain_of(draws), chain_of(draws[::2], thin=2)
    assert long.r_hat() == every.r_hat()
    assert long.ess() == every.ess()
    assert long.autocorr_time() == every.autocorr_time()
    assert long.ess(kind="tau") == every.ess(kind="tau")
    assert long.autocorr_time()["a"] == pytest.approx(19.0, rel=0.25)


def test_autocorrelation_time_in_sampler_steps_with_its_warning():
    chain = chain_of(np.cumsum(white(400), axis=0), thin=10)
    with pytest.warns(UserWarning, match=r"shorter than 50 autocorrelation times.*`a` \d+, `b` \d+"):
        slow = chain.autocorr_time()
    assert slow["a"] > 100
    fast = chain_of(white(4000), thin=10).autocorr_time()
    assert fast["a"] == pytest.approx(10.0, rel=0.1)
    size = chain_of(white(4000)).ess(kind="tau")["a"]
    assert size == pytest.approx(4000 * 8, rel=0.1)


def test_autocorrelation_time_is_positive_and_that_of_a_constant_is_none():
    alternating = np.tile(np.array([1.0, -1.0]), 200)[:, None, None] + 0.01 * white(400, 4, 1)
    constant = np.full((400, 4, 1), 3.0)
    taus = chain_of(np.concatenate([alternating, constant], axis=2)).autocorr_time()
    assert taus["a"] == pytest.approx(1 / np.log10(1600))
    assert np.isnan(taus["b"])


def test_kinds_of_effective_size_and_error():
    chain = chain_of(white(2000))
    for kind in ("bulk", "tail", "mean", "sd", "quantile", "tau"):
        assert chain.ess(kind=kind)["a"] == pytest.approx(16_000, rel=0.2)
    assert chain.mcse()["a"] == pytest.approx(1 / np.sqrt(16_000), rel=0.1)
    assert chain.mcse(kind="sd")["a"] == pytest.approx(1 / np.sqrt(32_000), rel=0.1)
    tail = np.sqrt(0.05 * 0.95 / 16_000) / 0.1031  # √(p(1 − p)/n) over the density at the 5 % quantile
    assert chain.mcse(kind="quantile", probability=0.05)["a"] == pytest.approx(tail, rel=0.3)
    with pytest.raises(UnknownName, match="did you mean `tail`"):
        chain.ess(kind="tails")


def test_acceptance_by_walker():
    accepted = RANDOM.random((50, 8))
    np.testing.assert_allclose(chain_of(white(50), accepted=accepted).acceptance_fraction(), accepted.mean(axis=0))
    over_steps = chain_of(white(50), accepted=accepted.mean(axis=1))
    assert over_steps.mean_acceptance_rate() == pytest.approx(accepted.mean())
    draws = white(50)
    for t in range(1, 50):
        draws[t, : t % 3] = draws[t - 1, : t % 3]  # walker 0 stays in two steps of three, walker 1 in one
    found = chain_of(draws).acceptance_fraction()
    np.testing.assert_allclose(found, [16 / 49, 33 / 49] + [1.0] * 6)
    assert chain_of(draws).mean_acceptance_rate() == pytest.approx(found.mean())
    with pytest.raises(InvalidValue, match="one step in 5 does not tell it"):
        chain_of(draws, thin=5).acceptance_fraction()


def test_converged():
    verdict = chain_of(white(2000)).is_converged()
    assert verdict
    assert str(verdict) == "yes"


def test_not_converged_with_reasons():
    apart = white(2000)
    apart[:, 0, 0] += 3.0
    stuck = white(2000)
    stuck[:, :, 1] = 7.0
    assert str(chain_of(apart).is_converged()).startswith("no: `a`: R-hat between walkers is 1.")
    assert str(chain_of(stuck).is_converged()).startswith("no: `b` has no R-hat: it is constant")
    assert (
        "20 autocorrelation times long" in str(chain_of(white(20)).is_converged())
        or not chain_of(white(20)).is_converged()
    )
    assert not chain_of(white(3)).is_converged()
    assert not chain_of(white(30)).is_converged(discard=40)
    slow = np.cumsum(white(400), axis=0)
    reasons = chain_of(slow).is_converged().reasons
    assert any("effective draws, fewer than 400" in reason for reason in reasons)
    assert any("autocorrelation times long, not 50" in reason for reason in reasons)


def test_the_threshold_of_r_hat_is_an_argument():
    apart = white(4000)
    apart[:, 0, 0] += 0.9
    worst = chain_of(apart).r_hat()["a"]
    assert 1.02 < worst < 1.1
    assert "R-hat" in str(chain_of(apart).is_converged(r_hat_threshold=1.02))
    assert "R-hat" not in str(chain_of(apart).is_converged(r_hat_threshold=1.1))


def test_merged_ensembles_are_compared_with_each_other():
    same = [chain_of(white(1000, seed=k)) for k in range(3)]
    merged = Chain.merge(*same)
    assert (merged.n_walkers, merged.n_ensembles) == (24, 3)
    np.testing.assert_array_equal(merged.samples[2:4][:, 8:16], same[1].samples[2:4])
    assert merged.is_converged()
    elsewhere = chain_of(white(1000, seed=3) + 0.3)
    assert merged.merge(elsewhere).n_ensembles == 4
    verdict = same[0].merge(elsewhere).is_converged()
    assert str(verdict).startswith("no: `a`: R-hat between ensembles is 1.")
    with pytest.raises(InvalidValue, match="chains differ"):
        same[0].merge(chain_of(white(999)))


def test_a_data_frame():
    chain = chain_of(white(10, 4), thin=5, units=("K", ""))
    frame = chain.to_dataframe(discard=20)
    assert list(frame.columns) == ["a", "b"]
    np.testing.assert_array_equal(frame.to_numpy(), chain.flat_samples(20))
    assert frame.attrs["units"] == {"a": "K"}
    full = chain.to_dataframe(discard=20, with_indices=True)
    assert list(full.columns) == ["step", "walker", "a", "b", "log_prob"]
    assert list(full["step"][:5]) == [25, 25, 25, 25, 30]
    assert list(full["walker"][:5]) == [0, 1, 2, 3, 0]
    np.testing.assert_array_equal(full["log_prob"], np.asarray(chain.log_probs)[4:].ravel())


def test_a_tree_for_arviz():
    chain = chain_of(white(10, 4), units=("K", ""))
    tree = chain.to_inference_data(discard=2)
    assert dict(tree["posterior"].sizes) == {"chain": 4, "draw": 8}
    np.testing.assert_array_equal(tree["posterior/b"], np.asarray(chain.samples)[2:, :, 1].T)
    np.testing.assert_array_equal(tree["sample_stats/lp"], np.asarray(chain.log_probs)[2:].T)
    assert tree["posterior/a"].attrs == {"units": "K"}


def test_a_subsample_consists_of_draws():
    chain = chain_of(white(500))
    chosen = chain.subsample(100, seed=4, discard=50)
    rows = {row.tobytes() for row in chain.flat_samples(50)}
    assert len({row.tobytes() for row in chosen}) == 100
    assert all(row.tobytes() in rows for row in chosen)
    np.testing.assert_array_equal(chosen, chain.subsample(100, seed=4, discard=50))
