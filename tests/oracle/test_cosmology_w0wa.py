"""w0waCDM on CMB + DESI DR2 + Union3, against a likelihood of its own: scipy's quadrature, plain NumPy, its optimiser.

Nothing of the package's physics is used here, only the published numbers.
"""

import numpy as np
import pytest
from scipy.integrate import quad_vec
from scipy.optimize import least_squares

from campaign_cosmology.api.fitting import run_fit
from campaign_cosmology.data.tables import table

C = 299792.458
NAMES = ("H0", "Om0", "Obh2", "w0", "wa")
DATA = ("cmb", "bao_ani", "sn")


def a4_e2(a, H0, Om0, w0, wa):
    Or0 = 2.469e-5 * (1 + 0.2271 * 3.046) / (H0 / 100) ** 2
    dark = a ** (1 - 3 * (w0 + wa)) * np.exp(-3 * wa * (1 - a))
    return Or0 + Om0 * a + (1 - Om0 - Or0) * dark


def comoving(z, theta):
    """D_C [Mpc] by adaptive quadrature in ln(1 + z), one interval after the other."""
    H0, Om0, _, w0, wa = theta
    edges = np.log1p(np.concatenate([[0.0], z]))

    def integrand(t):
        u = edges[:-1] + t * np.diff(edges)
        a = np.exp(-u)
        return np.diff(edges) * a / np.sqrt(a4_e2(a, H0, Om0, w0, wa))

    return C / H0 * np.cumsum(quad_vec(integrand, 0, 1, epsabs=1e-13, epsrel=1e-13)[0])


def sound(z, theta):
    H0, Om0, wb, w0, wa = theta
    end = (1 + z) ** -0.5

    def integrand(s):  # a = s², where the integrand is smooth
        a = s * s
        return 2 * s * C / np.sqrt(3 * (1 + 0.75 * wb / 2.469e-5 * a)) / (H0 * np.sqrt(a4_e2(a, H0, Om0, w0, wa)))

    return quad_vec(integrand, 0, end, epsabs=1e-13, epsrel=1e-13)[0]


def residuals(theta):
    H0, Om0, wb, w0, wa = theta
    wm = Om0 * (H0 / 100) ** 2
    z_star = 1089.80 * (wb / 0.02237) ** -0.004 * (wm / 0.1424) ** 0.010
    z_drag = (1 + 428.169 * wb**0.256459 * wm**0.616388 + 925.56 * wm**0.751615) / wm**0.714129
    cmb, bao, sn = (table(name) for name in DATA)
    z = np.unique(np.concatenate([bao.z, sn.z, [z_star]]))
    D = dict(zip(z, comoving(z, theta), strict=True))
    r_d, r_star = sound(z_drag, theta), sound(z_star, theta)
    D_star = D[z_star]
    own = {"R": np.sqrt(Om0) * H0 * D_star / C, "l_A": np.pi * D_star / r_star, "Obh2": wb}
    predicted = [np.array([own[q] for q in cmb.quantity])]
    rows = []
    for q, zi in zip(bao.quantity, bao.z, strict=True):
        a = 1 / (1 + zi)
        D_H = C * a**2 / (H0 * np.sqrt(a4_e2(a, H0, Om0, w0, wa)))
        rows.append({"DM_over_rd": D[zi], "DH_over_rd": D_H, "DV_over_rd": (zi * D[zi] ** 2 * D_H) ** (1 / 3)}[q] / r_d)
    predicted += [np.array(rows), 5 * np.log10((1 + sn.z_helio) * np.array([D[zi] for zi in sn.z])) + 25]
    out = []
    for source, model in zip((cmb, bao, sn), predicted, strict=True):
        L = np.linalg.cholesky(source.covariance)
        r = np.linalg.solve(L, model - source.value)
        if source.kind == "sn":
            e = np.linalg.solve(L, np.ones(len(source)))
            r = r - e * (e @ r) / (e @ e)
        out.append(r)
    return np.concatenate(out)


def test_w0wa_on_three_kinds_of_data_agrees_with_a_likelihood_of_its_own():
    fit = run_fit("w0wacdm", list(DATA), optimization_params=list(NAMES), optimizer_config={"method": "trf"})
    found = np.array([fit["optimization"]["optimized_params"][name] for name in NAMES])
    chi2 = fit["optimization"]["final_chi2"]
    assert float(np.sum(residuals(found) ** 2)) == pytest.approx(chi2, abs=1e-6)
    scale = np.array([1.0, 0.01, 1e-4, 0.1, 0.3])
    own = least_squares(
        residuals, [67.0, 0.32, 0.0224, -0.7, -1.0], x_scale=scale, jac="3-point", xtol=1e-14, ftol=1e-14
    )
    assert 2 * own.cost == pytest.approx(chi2, abs=1e-6)
    errors = np.sqrt(np.diag(np.linalg.inv(own.jac.T @ own.jac)))
    np.testing.assert_array_less(np.abs(found - own.x) / errors, 1e-4)
    np.testing.assert_allclose(found, own.x, rtol=1e-5)
    np.testing.assert_allclose([fit["optimization"]["stderr"][n] for n in NAMES], errors, rtol=1e-4)
    # what was measured before the model was part of the package (DESI DR2 II finds −0.67 ± 0.09, −1.09 ± 0.30 with PR4)
    assert found[3] == pytest.approx(-0.687, abs=0.01)
    assert found[4] == pytest.approx(-0.99, abs=0.03)
    lcdm = run_fit("lcdm", list(DATA), optimization_params=list(NAMES[:3]), optimizer_config={"method": "trf"})
    assert chi2 - lcdm["optimization"]["final_chi2"] == pytest.approx(-13.4, abs=0.1)
