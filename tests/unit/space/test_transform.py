"""Between theta and u: round trips, values by hand, and the Jacobian against differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.space import Parameter, ThetaSpace
from campaign.space.transform import Affine, Elementwise, Unbounded, on_bounds

jax.config.update("jax_enable_x64", True)

SPACE = ThetaSpace(
    (
        Parameter(name="plain", initial=0.0, lower=-5.0, upper=5.0),
        Parameter(name="size", initial=1.0, lower=0.5, upper=8.0, transform="log"),
        Parameter(name="share", initial=0.0, lower=-1.0, upper=3.0, transform="logit"),
        Parameter(name="rate", initial=1.0, lower=0.0, transform="log"),
    )
)
THETA = np.array([[0.3, 2.0, 0.0, 5.0], [-4.0, 0.6, 2.999, 1e-8], [5.0, 8.0, -0.999, 1e12]])


def test_u_by_hand():
    u = jax.vmap(lambda t: Elementwise(SPACE).to_u(t))(jnp.asarray(THETA))
    x = (THETA[:, 2] + 1.0) / 4.0
    expected = np.stack([THETA[:, 0], np.log(THETA[:, 1]), np.log(x / (1 - x)), np.log(THETA[:, 3])], axis=1)
    np.testing.assert_allclose(u, expected, rtol=1e-12)


def test_round_trip():
    back = jax.vmap(lambda t: Elementwise(SPACE).to_theta(Elementwise(SPACE).to_u(t)))(jnp.asarray(THETA))
    np.testing.assert_allclose(back, THETA, rtol=1e-12, atol=1e-15)


def test_log_jacobian_is_that_of_to_theta():
    for theta in THETA:
        u = Elementwise(SPACE).to_u(jnp.asarray(theta))
        matrix = jax.jacfwd(lambda v: Elementwise(SPACE).to_theta(v))(u)
        np.testing.assert_allclose(matrix, np.diag(np.diagonal(matrix)))  # one a parameter
        assert float(Elementwise(SPACE).log_jacobian(u)) == pytest.approx(np.log(np.diagonal(matrix)).sum(), rel=1e-10)


def test_log_jacobian_far_out_is_finite():
    """d theta/du of a logit falls as e^−|u|: −800 here, where 1 − sigmoid has long rounded to 0."""
    space = ThetaSpace((Parameter(name="share", initial=0.5, lower=0.0, upper=1.0, transform="logit"),))
    for u in (-800.0, 800.0):
        assert float(Elementwise(space).log_jacobian(jnp.array([u]))) == pytest.approx(-800.0, rel=1e-12)


def test_gradients_have_no_nan():
    gradient = jax.grad(lambda v: jnp.sum(Elementwise(SPACE).to_theta(v)) + Elementwise(SPACE).log_jacobian(v))
    assert np.all(np.isfinite(gradient(jnp.array([-700.0, -700.0, -700.0, -700.0]))))
    inverse = jax.jacfwd(lambda t: Elementwise(SPACE).to_u(t))(jnp.array([0.0, 1.0, 0.0, 1.0]))
    np.testing.assert_allclose(np.diagonal(inverse), [1.0, 1.0, 4.0 / 3.0, 1.0], rtol=1e-12)


def test_outside_the_domain():
    u = np.asarray(Elementwise(SPACE).to_u(jnp.array([9.0, -1.0, 4.0, -2.0])))
    assert u[0] == 9.0
    assert np.all(np.isnan(u[1:]))


def test_bounds_of_u():
    lower, upper = Elementwise(SPACE).bounds()
    end = -np.log(np.finfo(float).eps / 2)  # theta is eps/2 of the range from its bound
    np.testing.assert_allclose(lower, [-5.0, np.log(0.5), -end, np.log(1e-150)], rtol=1e-3)
    np.testing.assert_allclose(upper, [5.0, np.log(8.0), end, np.inf])


def test_without_transforms_nothing_changes():
    space = ThetaSpace((Parameter(name="a", initial=0.0), Parameter(name="b", initial=0.0, lower=0.0)))
    theta = jnp.array([1.5, -7.0])
    assert Elementwise(space).is_identity
    assert not Elementwise(SPACE).is_identity
    np.testing.assert_array_equal(Elementwise(space).to_u(theta), theta)
    np.testing.assert_array_equal(Elementwise(space).to_theta(theta), theta)
    assert float(Elementwise(space).log_jacobian(theta)) == 0.0
    np.testing.assert_array_equal(Elementwise(space).bounds(), [[-np.inf, 0.0], [np.inf, np.inf]])


def test_affine_coordinates_go_there_and_back_and_know_their_jacobian():
    matrix = jnp.array([[2.0, 0.3, 0.0, 0.0], [0.0, 0.5, 0.1, 0.0], [0.2, 0.0, 1.5, 0.0], [0.0, 0.0, 0.4, 0.7]])
    inner = Elementwise(SPACE)
    own = Affine(inner, inner.to_u(jnp.asarray(THETA[0])), matrix)
    v = jnp.array([0.3, -0.2, 0.1, 0.4])
    np.testing.assert_allclose(own.to_u(own.to_theta(v)), v, rtol=1e-10, atol=1e-12)
    slope = np.asarray(jax.jacfwd(own.to_theta)(v))
    assert float(own.log_jacobian(v)) == pytest.approx(np.linalg.slogdet(slope)[1], rel=1e-10)
    assert not own.is_elementwise


@pytest.mark.parametrize("ends", [(100.0, 1e5), (0.3, 7.0), (1e-6, 0.5)])
def test_a_bound_of_a_logarithm_is_no_outside(ends):
    """ln of a bound in two libraries may differ in its last digit; what is outside stays outside."""
    space = ThetaSpace((Parameter(name="a", initial=ends[0], lower=ends[0], upper=ends[1], transform="log"),))
    own = Unbounded.of(space)
    for end, infinity in zip(ends, (-np.inf, np.inf), strict=True):
        assert float(own.to_u(jnp.array([end]))[0]) == infinity
        assert np.isnan(own.to_u(jnp.array([end * (1.0 + 1e-9 * np.sign(infinity))]))[0])


def test_a_rounding_error_beyond_a_bound_is_the_bound():
    lower, upper = np.array([0.1, -np.inf, 0.0]), np.array([1e5, np.inf, np.inf])
    theta = np.array([[np.exp(np.log(1e5)), 7.0, -1e-300], [np.nextafter(0.1, 0.0), -1e9, 0.0], [1.0, 2.0, 3.0]])
    assert theta[0, 0] > 1e5
    found = on_bounds(theta, lower, upper, np)
    np.testing.assert_array_equal(found, [[1e5, 7.0, -1e-300], [0.1, -1e9, 0.0], [1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(
        on_bounds(np.array([[1.0001e5, np.nan, 1.0]]), lower, upper, np), [[1.0001e5, np.nan, 1.0]]
    )
