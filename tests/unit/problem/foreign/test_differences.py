import numpy as np
import pytest

from campaign.problem.foreign.differences import combined, stencil

INF = np.inf


def jacobian(function, theta, lower, upper, moves=None, scale=0.01):
    theta = np.asarray(theta, float)
    d = len(theta)
    rule = stencil(
        theta,
        np.full(d, scale),
        np.asarray(lower, float),
        np.asarray(upper, float),
        np.ones(d, bool) if moves is None else np.array(moves),
    )
    assert (rule.points >= lower).all()
    assert (rule.points <= upper).all()
    return rule, combined(rule, np.array([function(x) for x in rule.points]))


def curve(x):
    return np.array([x[0] * np.exp(-x[1]), np.sin(x[0]) + x[1] ** 3])


def slope(x):
    return np.array([[np.exp(-x[1]), -x[0] * np.exp(-x[1])], [np.cos(x[0]), 3 * x[1] ** 2]])


@pytest.mark.parametrize(
    ("lower", "upper"),
    [([-INF, -INF], [INF, INF]), ([1.3, 0.4], [9.0, 9.0]), ([-9.0, -9.0], [1.3, 0.4]), ([1.3, 0.0], [1.3 + 1e-7, 1.0])],
    ids=["inside", "at the lower bounds", "at the upper bounds", "narrower than a step"],
)
def test_derivatives_are_those_of_the_closed_form(lower, upper):
    theta = np.array([1.3, 0.4])
    _, found = jacobian(curve, theta, lower, upper)
    tolerance = 1e-9 if upper[0] - lower[0] > 1 else 1e-7
    np.testing.assert_allclose(found, slope(theta), rtol=tolerance)


def test_a_parabola_is_exact_up_to_rounding_on_either_side():
    for lower, upper in ((-INF, INF), (2.0, INF), (-INF, 2.0)):
        _, found = jacobian(lambda x: x**2, [2.0], [lower], [upper], scale=1e3)  # h = 6e-3: no rounding to speak of
        np.testing.assert_allclose(found, [[4.0]], rtol=1e-12)


def test_parameters_that_stay_cost_nothing():
    rule, found = jacobian(curve, [1.3, 0.4], [-INF] * 2, [INF] * 2, moves=[False, True])
    assert rule.points.shape == (3, 2)
    np.testing.assert_array_equal(found[:, 0], 0.0)
    np.testing.assert_allclose(found[:, 1], slope([1.3, 0.4])[:, 1], rtol=1e-9)


@pytest.mark.parametrize(("lower", "upper"), [(-INF, INF), (1.3, INF), (-INF, 1.3)])
def test_along_a_parameter_that_does_nothing_the_derivative_is_zero_and_not_rounding(lower, upper):
    def noisy(x):  # the last bit of its second value depends on x[0], as in a long sum
        return np.array([2 * np.exp(-x[1]), 1e12 * (1 + np.finfo(float).eps * (x[0] > 1.3)) + x[1]])

    _, found = jacobian(noisy, [1.3, 0.4], [lower, -INF], [upper, INF])
    np.testing.assert_array_equal(found[:, 0], 0.0)
    np.testing.assert_allclose(found[0, 1], -2 * np.exp(-0.4), rtol=1e-9)


def test_what_is_not_a_number_stays_so():
    _, found = jacobian(lambda x: np.array([x[0], np.nan if x[1] > 0.4 else 1.0]), [1.3, 0.4], [-INF] * 2, [INF] * 2)
    assert np.isnan(found[1, 1])
    assert found[0, 0] == pytest.approx(1.0, rel=1e-9)
