"""What monitors keep does not depend on the chunks in which a trace comes."""

from __future__ import annotations

import numpy as np
import pytest

from campaign.diagnostics import ess_bulk, rhat
from campaign.engines.mixing import Mixing
from campaign.engines.monitor import Moments, Snapshots, capacity_for

RUNS, STEPS, CHAINS, D = 3, 700, 4, 2


@pytest.fixture(scope="module")
def draws() -> np.ndarray:
    values = np.random.default_rng(1).normal(1e6, 1.0, (RUNS, STEPS, CHAINS, D))
    values[2, 300:] = np.nan  # this run ended early
    return values


def fed(monitor, draws, chunk):
    for first in range(0, draws.shape[1], chunk):
        last = min(first + chunk, STEPS)
        part = np.full((RUNS, chunk, CHAINS, D), np.nan)
        part[:, : last - first] = draws[:, first:last]
        monitor.take({"theta": part}, first, last)
    return monitor


def fed_moments(draws, skip, chunk) -> Moments:
    moments = Moments(skip)
    for first in range(0, draws.shape[1], chunk):
        moments.take(draws[:, first : first + chunk], first)
    return moments


@pytest.mark.parametrize("skip", [0, 100, 128])
def test_moments_are_those_of_numpy_in_any_chunks(draws, skip) -> None:
    n, mean, covariance = fed_moments(draws, skip, 50).of()
    for run, n_steps in enumerate((700, 700, 300)):
        kept = draws[run, skip:n_steps].reshape(-1, D)
        assert n[run] == len(kept)
        np.testing.assert_allclose(mean[run], kept.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(covariance[run], np.cov(kept.T), atol=1e-9)
    for chunk in (1, 64, 100, 700):
        for one, other in zip(fed_moments(draws, skip, chunk).of(), (n, mean, covariance), strict=True):
            np.testing.assert_array_equal(one, other)


def test_moments_of_nothing_are_not_numbers(draws) -> None:
    n, mean, _ = fed_moments(draws[:, :50], 60, 50).of()
    assert (n == 0).all()
    assert np.isnan(mean).all()


@pytest.mark.parametrize("capacity", [64, 128])
def test_snapshots_are_evenly_spaced_whatever_the_chunks(draws, capacity) -> None:
    kept = {}
    for chunk in (1, 33, 350, 700):
        store = Snapshots("theta", 100, capacity)
        fed(store, draws, chunk)
        kept[chunk] = store.of(0, STEPS)
        assert store.stride == {64: 16, 128: 8}[capacity]
        np.testing.assert_array_equal(kept[chunk], draws[0, 100 :: store.stride])
        np.testing.assert_array_equal(store.of(2, 300), draws[2, 100 : 300 : store.stride])


def test_everything_fits_while_it_fits(draws) -> None:
    store = fed(Snapshots("theta", 100, 600), draws, 50)
    assert store.stride == 1
    np.testing.assert_array_equal(store.of(1, STEPS), draws[1, 100:])


def test_a_resumed_monitor_goes_on_as_if_nothing_had_happened(draws) -> None:
    whole = fed(Mixing("theta", skip=100), draws, 50)
    first = Mixing("theta", skip=100)
    for start in range(0, 350, 50):
        first.take({"theta": draws[:, start : start + 50]}, start, start + 50)
    second = Mixing("theta", skip=100)
    second.load([leaf.copy() for leaf in first.leaves()])
    for start in range(350, STEPS, 50):
        second.take({"theta": draws[:, start : start + 50]}, start, start + 50)
    n_steps = np.array([700, 700, 300])
    for name, value in whole.metrics(n_steps).items():
        np.testing.assert_array_equal(value, second.metrics(n_steps)[name], name)
    for name, value in whole.estimates(n_steps).items():
        np.testing.assert_array_equal(value, second.estimates(n_steps)[name], name)


def test_metrics_are_the_worst_over_the_parameters(draws) -> None:
    found = fed(Mixing("theta", skip=100), draws, 50).metrics(np.array([700, 700, 300]))
    columns = [draws[0, 100:, :, j] for j in range(D)]
    assert found["rhat_max"][0] == max(rhat(c) for c in columns)
    assert found["ess_bulk_min"][0] == min(ess_bulk(c) for c in columns)


def test_nothing_is_judged_before_the_burn_in_is_over() -> None:
    monitor = Mixing("theta", skip=100)
    monitor.take({"theta": np.zeros((2, 50, 4, 1))}, 0, 50)
    assert all(
        np.isnan(v).all() or name == "n_effective" or name == "chain_taus"
        for name, v in monitor.metrics(np.array([50, 50])).items()
    )


def test_capacity_is_a_power_of_two_within_the_budget() -> None:
    assert capacity_for(512) == 1024
    assert capacity_for(500) == 1024
    assert capacity_for(10**9) == 512
