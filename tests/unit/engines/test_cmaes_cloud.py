"""The distribution of `cmaes` against the tutorial, written out point by point in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.cmaes_cloud import Axes, Cloud, Rates, mirrored, told
from driving import at_start  # noqa: F401  sets JAX up

D, N = 4, 9


def tutorial(m, sigma, C, ps, pc, g, x, f):
    """One generation, arXiv:1604.00772 fig. 6, weights as lists."""
    n, lam = len(m), len(x)
    raw = [np.log((lam + 1) / 2) - np.log(i) for i in range(1, lam + 1)]
    mu = lam // 2
    mu_eff = sum(raw[:mu]) ** 2 / sum(w * w for w in raw[:mu])
    negative = [w for w in raw if w < 0]
    mu_minus = sum(negative) ** 2 / sum(w * w for w in negative)
    cc = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)
    cs = (mu_eff + 2) / (n + mu_eff + 5)
    ds = 1 + 2 * max(0, np.sqrt((mu_eff - 1) / (n + 1)) - 1) + cs
    c1 = 2 / ((n + 1.3) ** 2 + mu_eff)
    cmu = min(1 - c1, 2 * (1 / 4 + mu_eff + 1 / mu_eff - 2) / ((n + 2) ** 2 + mu_eff))
    a = min(1 + c1 / cmu, 1 + 2 * mu_minus / (mu_eff + 2), (1 - c1 - cmu) / (n * cmu))
    w = [v / sum(u for u in raw if u > 0) if v >= 0 else a * v / -sum(negative) for v in raw]
    order = np.argsort(f)
    y = [(x[i] - m) / sigma for i in order]
    values, B = np.linalg.eigh(C)
    root = B @ np.diag(values**-0.5) @ B.T
    yw = sum(w[i] * y[i] for i in range(mu))
    ps = (1 - cs) * ps + np.sqrt(cs * (2 - cs) * mu_eff) * root @ yw
    e = np.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
    h = np.linalg.norm(ps) / np.sqrt(1 - (1 - cs) ** (2 * (g + 1))) < (1.4 + 2 / (n + 1)) * e
    pc = (1 - cc) * pc + h * np.sqrt(cc * (2 - cc) * mu_eff) * yw
    wo = [w[i] if w[i] >= 0 else w[i] * n / np.sum((root @ y[i]) ** 2) for i in range(lam)]
    new = (1 + c1 * (1 - h) * cc * (2 - cc) - c1 - cmu * sum(w)) * C + c1 * np.outer(pc, pc)
    new = new + cmu * sum(wo[i] * np.outer(y[i], y[i]) for i in range(lam))
    return m + sigma * yw, sigma * np.exp(cs / ds * (np.linalg.norm(ps) / e - 1)), new, ps, pc


@pytest.mark.parametrize("popsize", [8, 9])
def test_generations_are_those_of_the_tutorial(popsize):
    following = jax.jit(lambda cloud, n, y, cost: told(cloud, Axes.of(cloud), n, y, cost))
    rng = np.random.default_rng(popsize)
    m, sigma, C = np.full(D, 0.5), 0.01, np.eye(D)
    ps, pc = np.zeros(D), np.zeros(D)
    cloud = Cloud.at(jnp.asarray(m), jnp.asarray(sigma))
    for g in range(12):
        y = rng.multivariate_normal(np.zeros(D), C, popsize)
        x = m + sigma * y
        f = np.sum(np.arange(1, D + 1) ** 2 * (x - 0.3) ** 2, axis=1)
        places = N + 3  # some are not of the generation
        padded = np.zeros((places, D))
        padded[:popsize] = y
        cost = np.full(places, np.inf)
        cost[:popsize] = f
        cloud = following(cloud, popsize, padded, cost)
        m, sigma, C, ps, pc = tutorial(m, sigma, C, ps, pc, g, x, f)
        for got, expected in zip(cloud[:5], (m, sigma, C, ps, pc), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-13)
    assert int(cloud.generation) == 12


def test_positive_weights_sum_to_one_and_the_covariance_stays_definite_at_the_worst():
    rates = Rates.of(jnp.asarray(12), 16, 3, jnp.float64)
    weights = np.asarray(rates.weights)
    np.testing.assert_allclose(weights[weights > 0].sum(), 1.0)
    assert np.count_nonzero(weights) == 12
    assert float(1.0 - rates.c_1 + 3 * rates.c_mu * weights[weights < 0].sum() - rates.c_mu) > -1e-12


def test_places_outside_are_mirrored_into_the_cube():
    x = jnp.array([0.25, -0.25, 1.25, 2.25, -1.75, 0.0, 1.0])
    np.testing.assert_allclose(mirrored(x), [0.25, 0.25, 0.75, 0.25, 0.25, 0.0, 1.0])


def test_the_cloud_never_grows_wider_than_the_box():
    cloud = Cloud.at(jnp.full(2, 0.5), jnp.asarray(0.9))._replace(path_sigma=jnp.full(2, 50.0))
    y = jnp.asarray(np.random.default_rng(0).normal(size=(6, 2)))
    after = told(cloud, Axes.of(cloud), jnp.asarray(6), y, jnp.arange(6.0))
    assert float(jnp.max(after.widths)) <= 1.0 + 1e-12
