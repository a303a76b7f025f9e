"""Layer 3: the document's formula as residuals, its gradient, both limits, and shrinkage that grows with λ."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from campaign.science import Parameter, Problem, ThetaSpace, fit
from campaign_xpcs.judge.likeness import Alike, coefficient_of_variation, tuned_lambda

N = 6
CONTRAST = np.array([0.2, 0.25, 0.3, 0.35, 0.4, 0.3])


class Decays(Problem):
    """contrast_k · exp(−rate t) with a contrast of each of six angles."""

    space: ThetaSpace = eqx.field(static=True)
    times: Array
    measured: Array

    def residuals(self, theta):
        model = theta[:N, None] * jnp.exp(-theta[N] * self.times)[None, :]
        return ((model - self.measured) / 0.01).reshape(-1)


def base():
    space = ThetaSpace(
        (*(Parameter(name=f"contrast[{k}]", initial=0.3, lower=0, upper=1) for k in range(N)),
         Parameter(name="rate", initial=1.0, lower=0.0, upper=10.0))
    )  # fmt: skip
    times = np.linspace(0, 3, 20)
    noise = 0.01 * np.random.default_rng(4).normal(size=(N, 20))
    return Decays(space, jnp.asarray(times), jnp.asarray(CONTRAST[:, None] * np.exp(-1.3 * times) + noise))


def alike(strength, mode="relative"):
    return Alike.of(base(), jnp.arange(N)[None], strength, mode)


def test_the_loss_is_the_formula_of_the_document():
    theta = jnp.asarray([0.2, 0.3, 0.5, 0.4, 0.3, 0.1, 1.1])
    c = np.asarray(theta[:N])
    plain = np.asarray(base().residuals(theta))
    mse_n = np.mean(plain**2) * len(plain)
    cv = np.std(c) / abs(np.mean(c))
    total = float(jnp.sum(alike(1.7).residuals(theta) ** 2))
    assert total == pytest.approx(mse_n + 1.7 * cv**2 * mse_n, rel=1e-12)
    total = float(jnp.sum(alike(0.01, "absolute").residuals(theta) ** 2))
    assert total == pytest.approx(mse_n + 0.01 * np.var(c), rel=1e-12)
    assert float(coefficient_of_variation(theta[None, :N])[0]) == pytest.approx(cv, rel=1e-12)


def test_the_tuned_term_has_its_share_at_the_target():
    strength = tuned_lambda(0.10, 0.10)
    assert strength == pytest.approx(10.0)
    c = np.array([0.9, 1.1, 0.9, 1.1, 0.9, 1.1])
    assert np.std(c) / np.mean(c) == pytest.approx(0.10)
    theta = jnp.asarray([*c, 1.0])
    plain, total = (float(jnp.sum(p.residuals(theta) ** 2)) for p in (base(), alike(strength)))
    assert total / plain - 1.0 == pytest.approx(0.10, rel=1e-10)


def test_the_gradient_is_that_of_differences():
    theta = jnp.asarray([0.2, 0.3, 0.5, 0.4, 0.3, 0.1, 1.1])
    problem = alike(3.0)

    def loss(x):
        return jnp.sum(problem.residuals(x) ** 2)

    gradient = np.asarray(jax.grad(loss)(theta))
    steps = 1e-6 * np.eye(N + 1)
    differences = [(float(loss(theta + s)) - float(loss(theta - s))) / 2e-6 for s in steps]
    np.testing.assert_allclose(gradient, differences, rtol=1e-5)


def test_limits_and_shrinkage():
    fits = [fit(alike(strength)) for strength in (1e-9, 10.0, 1e9)]
    spread = [np.std([f.theta[f"contrast[{k}]"] for k in range(N)]) for f in fits]
    assert (np.diff(spread) < 0).all()
    free = fit(base())
    assert fits[0].loss == pytest.approx(free.loss, rel=1e-6)
    for name, value in free.theta.items():
        assert fits[0].theta[name] == pytest.approx(value, rel=1e-5)
    assert spread[-1] < 1e-4 * spread[0]
