"""Mass matrices from the Fisher matrix, on the quadratic around the fitted image. N-… are rows of the specification.

A sampler in the parameters' own units has a condition number of 7e8: its trajectories are cut off at 2^10 − 1 steps.
"""

import jax
import numpy as np
import pytest

from campaign.diagnostics import ess_bulk
from campaign.engines.catalogue import NutsOptions
from campaign.engines.hamiltonian import build_nuts
from descending import DATA, surrogate
from driving import drive

WARMUP = 19  # too few for a window: the metric stays what it was at the start


def drawn(steps, **options):
    """Draws (n, chains, d) after warm-up, and leapfrog steps a draw."""
    engine = build_nuts(NutsOptions(chains=2, warmup=WARMUP, steps=WARMUP + steps, **options))
    scale = np.ones(20) if options["metric"] == "scale" else None
    state, trace, _ = drive(engine, surrogate(scale), jax.random.key(1))
    return np.asarray(trace["theta"][WARMUP:]), int(state.leapfrogs) / (2 * (WARMUP + steps))


def least_ess(draws):
    return min(ess_bulk(draws[:, :, j]) for j in range(draws.shape[2]))


@pytest.fixture(scope="module")
def dense():
    return drawn(1000, mass="dense", metric="fisher", init="laplace")


def test_a_dense_matrix_needs_few_steps_and_gives_the_errors(dense):
    """N-01."""
    draws, leapfrogs = dense
    sigma = np.sqrt(np.diag(np.linalg.inv(np.load(DATA / "fisher_B.npy"))))
    assert leapfrogs <= 10
    np.testing.assert_allclose(draws.reshape(-1, 20).std(axis=0), sigma, rtol=0.1)


def test_the_identity_saturates_the_trajectories(dense):
    """N-01, N-02: at equal numbers of draws, the least effective sample size."""
    draws, leapfrogs = drawn(200, mass="diagonal", metric="scale", init="laplace")
    assert leapfrogs >= 500
    assert least_ess(dense[0]) / len(dense[0]) > 50 * least_ess(draws) / len(draws)
