"""The shear factors against NumPy's sinc, their slopes against central differences, and the trap between them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign_xpcs.physics.correlation import SHEAR_MODELS, decay, shear_argument

Q, L, PHI0 = np.float64(0.0054), np.float64(2.0e6), np.float64(-5.0)
X = np.concatenate([np.linspace(-9.0, 9.0, 41), [0.0, 1e-9, 1e-5, 0.0499, 0.0501, np.pi]])


@pytest.mark.parametrize("power", [2, 4])
def test_value_and_slopes(power):
    u = np.linspace(0.0, 3.0, len(X))
    expected = np.exp(-u) * np.sinc(X / np.pi) ** power
    np.testing.assert_allclose(decay(jnp.asarray(u), jnp.asarray(X), power), expected, rtol=1e-12, atol=1e-60)
    step = 1e-5
    rise = (np.sinc((X + step) / np.pi) ** power - np.sinc((X - step) / np.pi) ** power) / (2.0 * step) * np.exp(-u)
    ones, zeros = jnp.ones(len(X)), jnp.zeros(len(X))
    _, slope = jax.jvp(lambda x: decay(jnp.asarray(u), x, power), (jnp.asarray(X),), (ones,))
    np.testing.assert_allclose(slope, rise, atol=3e-9)
    _, slope = jax.jvp(lambda v, x: decay(v, x, power), (jnp.asarray(u), jnp.asarray(X)), (ones, zeros))
    np.testing.assert_allclose(slope, -expected, atol=1e-15)


def test_the_derivation_against_its_integral():
    """|∫₀ᴸ exp(i q cos φ Γ y) dy / L|², by quadrature over the gap."""
    strain, phi = 3e-4, 35.0
    y = (np.arange(20000) + 0.5) / 20000 * float(L)
    amplitude = np.mean(np.exp(1j * float(Q) * np.cos(np.deg2rad(-5.0 - phi)) * strain * y))
    x = strain * shear_argument(Q, L, jnp.asarray(phi), PHI0, "physical")
    found = decay(jnp.asarray(0.0), x, SHEAR_MODELS["physical"].power)
    assert float(found) == pytest.approx(abs(amplitude) ** 2, rel=1e-6)


def test_the_models_differ_by_pi_over_root_two_to_leading_order():
    loss = {}
    for name, shear in SHEAR_MODELS.items():
        x = 1e-6 * shear_argument(Q, L, jnp.asarray(0.0), PHI0, name)
        loss[name] = 1.0 - float(decay(jnp.asarray(0.0), x, shear.power))
    assert np.sqrt(loss["physical"] / loss["homodyne-compat"]) == pytest.approx(np.pi / np.sqrt(2.0), rel=1e-4)


def test_the_angle_enters_by_its_cosine_squared():
    angles = jnp.array([20.0, 200.0])
    x = 2e-4 * shear_argument(Q, L, angles, PHI0, "physical")
    found = decay(jnp.zeros(2), x, 2)
    assert float(found[0]) == pytest.approx(float(found[1]), rel=1e-12)
