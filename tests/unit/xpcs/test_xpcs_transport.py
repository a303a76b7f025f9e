"""Integrals against closed forms and quadrature; the floor keeps a slope where homodyne's has none."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from campaign_xpcs.physics import transport

DT = np.float64(0.1)
TIMES = np.arange(50) * DT


def numbers(*values: float) -> list[jax.Array]:
    return [jnp.asarray(v) for v in values]


def test_trapezoid_is_that_of_homodyne():
    """Rates at the frames with t = 0 taken as dt/2, cumulative trapezoids."""
    t = np.maximum(np.arange(50) * 0.1, 0.05)
    rates = 2000.0 * t**-0.3 + 100.0
    expected = np.concatenate([[0.0], np.cumsum(0.05 * (rates[1:] + rates[:-1]))])
    found = transport.integral(TIMES, *numbers(2000.0, -0.3, 100.0), DT, "trapezoid")
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("exponent", [-0.6, -0.3, 0.0, 0.7, 2.0])
def test_exact_integrals_from_zero(exponent):
    t = np.arange(50) * 0.1
    found = transport.integral(TIMES, *numbers(3.0, exponent, 0.5), DT, "exact")
    np.testing.assert_allclose(found, 3.0 * t ** (exponent + 1) / (exponent + 1) + 0.5 * t, rtol=1e-11)


@pytest.mark.parametrize("exponent", [-2.0, -1.3, -1.0, -1.0 + 1e-9, -0.5])
def test_exact_integrals_between_later_times(exponent):
    found = transport.integral(TIMES + 0.1, *numbers(3.0, exponent, 0.5), DT, "exact")
    expected, _ = quad(lambda t: 3.0 * t**exponent + 0.5, 0.1, 5.0, epsabs=0.0, epsrel=1e-12)
    assert float(found[-1]) == pytest.approx(expected, rel=1e-11)


def test_a_pole_at_zero_is_finite_with_finite_slopes():
    def last(p):
        return transport.integral(TIMES, p[0], p[1], p[2], DT, "exact")[-1]

    value, slope = jax.value_and_grad(last)(jnp.array([1000.0, -2.0, 0.0]))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def test_the_trapezoid_is_far_off_where_the_exponent_is_negative():
    """What the option is for: 20 % at the first interval for t^-0.6."""
    exact, rough = (
        float(transport.integral(TIMES, *numbers(1.0, -0.6, 0.0), DT, kind)[1]) for kind in ("exact", "trapezoid")
    )
    assert exact == pytest.approx(0.1**0.4 / 0.4, rel=1e-11)
    assert abs(rough / exact - 1.0) > 0.2


def test_the_floor_joins_smoothly_and_has_no_dead_zone():
    power = jnp.full(5, 100.0)
    assert float(transport.floored(power, jnp.asarray(-94.0))[0]) == 6.0  # as it is, down to 5 of 100
    assert float(transport.floored(power, jnp.asarray(-95.0))[0]) == pytest.approx(5.0)
    slope = jax.grad(lambda offset: transport.floored(power, offset)[0])
    assert float(slope(jnp.asarray(-95.0 - 1e-9))) == pytest.approx(1.0, abs=1e-6)
    for offset in (-100.0, -200.0, -3000.0):
        assert float(transport.floored(power, jnp.asarray(offset))[0]) > 0
        assert float(slope(jnp.asarray(offset))) > 1e-8
        assert bool(transport.is_floored(power, jnp.asarray(offset)).all())


def test_a_negative_offset_is_reachable_while_the_rate_is_positive():
    found = transport.rate(TIMES, *numbers(2648.0, -0.2156, -577.0), DT)
    t = np.maximum(np.arange(50) * 0.1, 0.05)
    np.testing.assert_allclose(found, 2648.0 * t**-0.2156 - 577.0, rtol=1e-13)


def test_floored_intervals_never_decrease():
    found = transport.integral(TIMES, *numbers(1000.0, -0.5, -800.0), DT, "exact")
    assert (np.diff(found) > 0).all()
