"""Distances by name, against astropy."""

import numpy as np
import pytest

from campaign_cosmology import D_A, D_H, D_L, D_M, D_V, H, build_params, mu, r_d


def test_distances_agree_with_astropy():
    cosmology = pytest.importorskip("astropy.cosmology")
    params = build_params("w0wacdm", {"w0": -0.7, "wa": -1.0, "Ok0": 0.02, "constants": "exact"})
    Or0 = 4.183702725713658e-05 / 0.674**2
    reference = cosmology.w0waCDM(
        H0=67.4, Om0=0.315, Ode0=1 - 0.315 - 0.02 - Or0, w0=-0.7, wa=-1.0, Tcmb0=2.7255, Neff=3.046, m_nu=0.0
    )
    z = np.array([[0.3, 1.0], [0.1, 2.33]])
    np.testing.assert_allclose(H(z, params), reference.H(z).value, rtol=1e-8)
    np.testing.assert_allclose(D_M(z, params), reference.comoving_transverse_distance(z).value, rtol=1e-8)
    np.testing.assert_allclose(D_A(z, params), reference.angular_diameter_distance(z).value, rtol=1e-8)
    np.testing.assert_allclose(D_L(z, params), reference.luminosity_distance(z).value, rtol=1e-8)
    np.testing.assert_allclose(mu(z, params), reference.distmod(z).value, rtol=1e-9)
    np.testing.assert_allclose(D_V(z, params) ** 3, z * D_M(z, params) ** 2 * D_H(z, params), rtol=1e-14)


def test_at_the_defaults_they_are_the_golden_ones():
    params = build_params("lcdm")
    assert float(H(0.51, params)) == pytest.approx(89.6677308526, rel=1e-11)
    assert float(D_M(1000.0, params)) == pytest.approx(13845.9180426974, rel=1e-10)
    assert r_d(params) == pytest.approx(146.95234766439378, rel=1e-10)
    assert mu(0.0, params) == -np.inf


@pytest.mark.parametrize("z", [-0.1, [0.1, float("nan")], "half"])
def test_no_distance_to_what_is_no_redshift(z):
    with pytest.raises(ValueError, match="redshift"):
        D_M(z, build_params("lcdm"))
