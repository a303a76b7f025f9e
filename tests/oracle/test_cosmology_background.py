"""Background against 30-digit quadrature (mpmath) and astropy; PBUF against ΛCDM."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from campaign_cosmology.physics.background import (
    Expansion,
    a4_e2,
    background,
    distance_beyond,
    distances,
    hubble,
    transverse,
)
from campaign_cosmology.physics.constants import C_KM_S
from campaign_cosmology.physics.quadrature import distance_grid
from campaign_cosmology.physics.recombination import R_DRAG, Z_DRAG, Z_STAR
from campaign_cosmology.physics.sound_horizon import sound_horizon, sound_horizon_between

HERE = Path(__file__).parent / "data"
GOLDEN = {
    k: v for k, v in json.loads((HERE / "cosmology_background.json").read_text()).items() if k != "astropy_crosscheck"
}
PBUF = json.loads((HERE / "cosmology_pbuf.json").read_text())
DEFAULTS = {"H0": 67.4, "Om0": 0.315, "Obh2": 0.02237, "ns": 0.9649, "Neff": 3.046, "Tcmb": 2.7255, "Ok0": 0.0}


def theta(**values):
    return {name: jnp.asarray(float(v)) for name, v in {**DEFAULTS, **values}.items()}


def case(key):
    expansion = Expansion(constants=key.split("__")[1])
    return GOLDEN[key], expansion, background(theta(**GOLDEN[key]["params"]), expansion)


@pytest.mark.parametrize("key", GOLDEN)
def test_distances_and_rates_against_thirty_digits(key):
    golden, expansion, bg = case(key)
    rows = golden["table"]
    z = np.array([r["z"] for r in rows])
    grid = distance_grid(z, 1090.0)
    D_M = np.asarray(transverse(bg, distances(bg, grid, expansion)[0]))
    np.testing.assert_allclose(D_M, [r["D_M"] for r in rows], rtol=1e-12)
    H = np.asarray(hubble(bg, z, expansion))
    np.testing.assert_allclose(H, [r["H"] for r in rows], rtol=1e-14)
    np.testing.assert_allclose(np.cbrt(z * D_M**2 * C_KM_S / H), [r["D_V"] for r in rows], rtol=1e-12)
    np.testing.assert_allclose(5 * np.log10((1 + z[1:]) * D_M[1:]) + 25, [r["mu"] for r in rows[1:]], rtol=1e-13)
    assert float(bg.Or0) == pytest.approx(golden["Or0"], rel=1e-14)
    assert float(bg.OL0) == pytest.approx(golden["Ol0"], rel=1e-14)


@pytest.mark.parametrize("key", GOLDEN)
@pytest.mark.parametrize("method", ["PLANCK18", "HS96", "HS96C", "FIXED"])
def test_last_scattering_against_thirty_digits(key, method):
    golden, expansion, bg = case(key)
    expected = golden["zstar"][method]
    z_star = Z_STAR[method](jnp.asarray(golden["params"]["Obh2"]), bg.Om0 * bg.h**2)
    grid = distance_grid(np.array([0.3, 2.33]), 1090.0)
    x = distances(bg, grid, expansion)[1] + distance_beyond(bg, grid.z_reach, z_star, expansion)
    assert float(z_star) == pytest.approx(expected["z_star"], rel=1e-13)
    assert float(transverse(bg, x)) == pytest.approx(expected["D_M"], rel=1e-12)
    assert float(sound_horizon(bg, z_star, expansion)) == pytest.approx(expected["r_s"], rel=1e-12)


@pytest.mark.parametrize("key", GOLDEN)
@pytest.mark.parametrize("method", ["AAN21", "EH98", "PBUF1345"])
def test_drag_epoch_against_thirty_digits(key, method):
    golden, expansion, bg = case(key)
    wb, wm = jnp.asarray(golden["params"]["Obh2"]), bg.Om0 * bg.h**2
    z_drag, z_star = Z_DRAG[method](wb, wm), Z_STAR["PLANCK18"](wb, wm)
    assert float(z_drag) == pytest.approx(golden["zdrag"][method]["z_d"], rel=1e-13)
    direct = float(sound_horizon(bg, z_drag, expansion))
    via_star = float(sound_horizon(bg, z_star, expansion) + sound_horizon_between(bg, z_star, z_drag, expansion))
    assert direct == pytest.approx(golden["zdrag"][method]["r_d"], rel=1e-12)
    assert via_star == pytest.approx(golden["zdrag"][method]["r_d"], rel=1e-12)


def test_closed_forms_of_the_drag_horizon():
    wb, wm, neff = jnp.asarray(0.02237), jnp.asarray(0.14309694), jnp.asarray(3.046)
    assert float(R_DRAG["BGV23"](wb, wm, neff)) == pytest.approx(GOLDEN["defaults__compat"]["r_d_BGV23"], rel=1e-12)
    assert float(R_DRAG["AUB15"](wb, wm, neff)) == pytest.approx(146.9, abs=0.15)


@pytest.mark.parametrize("index", range(len(PBUF)))
def test_pbuf_normalised_and_legacy(index):
    golden = PBUF[index]
    values = theta(**golden["params"])
    expansion = Expansion("pbuf")
    bg = background(values, expansion)
    z = np.array([float(k) for k in golden["normalised"]])
    np.testing.assert_allclose(hubble(bg, z, expansion), [v["H"] for v in golden["normalised"].values()], rtol=1e-13)
    assert float(bg.OL0) == pytest.approx(golden["Ol0"], rel=1e-14)
    assert float(hubble(bg, np.zeros(1), expansion)[0]) == pytest.approx(67.4, rel=1e-15)
    z_star, z_drag = jnp.asarray(golden["cmb"]["z_star"]), Z_DRAG["AAN21"](values["Obh2"], bg.Om0 * bg.h**2)
    assert float(sound_horizon(bg, z_star, expansion)) == pytest.approx(golden["cmb"]["r_s_star"], rel=1e-12)
    assert float(sound_horizon(bg, z_drag, expansion)) == pytest.approx(golden["r_d_AAN21"], rel=1e-12)
    legacy = Expansion("pbuf", "legacy")
    a = 1.0 / (1.0 + z)
    E2 = a4_e2(background(values, legacy), a, legacy) / a**4
    legacy_key = next(k for k in golden if k.startswith("legacy"))
    np.testing.assert_allclose(E2, [v["E2_legacy_clip"] for v in golden[legacy_key].values()], rtol=1e-13)


def test_pbuf_without_its_effects_is_lcdm():
    z = np.array([0.0, 0.1, 0.5, 2.33, 10.0, 1089.8])
    grid = distance_grid(z, 1090.0)
    pbuf, lcdm = Expansion("pbuf"), Expansion("lcdm")
    values = theta(alpha=0.0, Rmax=1e9, eps0=0.7, n_eps=0.3, k_sat=1.0)
    one, other = background(values, pbuf), background(values, lcdm)
    np.testing.assert_allclose(hubble(one, z, pbuf), hubble(other, z, lcdm), rtol=1e-13)
    np.testing.assert_allclose(distances(one, grid, pbuf)[0], distances(other, grid, lcdm)[0], rtol=1e-13)
    r_pbuf, r_lcdm = sound_horizon(one, jnp.asarray(1060.0), pbuf), sound_horizon(other, jnp.asarray(1060.0), lcdm)
    assert float(r_pbuf) == pytest.approx(float(r_lcdm), rel=1e-13)


def test_manuscript_form_closes_and_accelerates():
    """alpha (1 − e^(−1/Rmax)) = 1 − Ω_m − Ω_r leaves no Λ; w = −1 − x e^−x / (3 (1−e^−x)) at x = 1/Rmax today."""
    expansion = Expansion("pbuf", "manuscript")
    Om0, Rmax = 0.3, 0.5
    Or0 = GOLDEN["defaults__compat"]["Or0"]
    alpha = (1.0 - Om0 - Or0) / -np.expm1(-1.0 / Rmax)
    bg = background(theta(Om0=Om0, alpha=alpha, Rmax=Rmax, eps0=0.7, n_eps=0.0, k_sat=1.0), expansion)
    assert float(bg.OL0) == pytest.approx(0.0, abs=1e-15)
    assert float(hubble(bg, np.zeros(1), expansion)[0]) == pytest.approx(67.4, rel=1e-14)
    x = 1.0 / Rmax
    w = -1.0 - x * np.exp(-x) / (3.0 * -np.expm1(-x))

    def dark(ln_a):  # what is neither matter nor radiation, over critical today
        a = jnp.exp(ln_a)[None]
        return jnp.log((a4_e2(bg, a, expansion)[0] - bg.Or0 - bg.Om0 * a[0]) / a[0] ** 4)

    slope = float(jax.grad(dark)(jnp.zeros(())))  # d ln rho / d ln a = −3 (1 + w)
    assert slope == pytest.approx(-3.0 * (1.0 + w), rel=1e-10)


@pytest.mark.parametrize("Ok0", [-0.1, 0.0, 0.05])
def test_against_astropy(Ok0):
    cosmology = pytest.importorskip("astropy.cosmology")
    expansion = Expansion(constants="exact")
    Or0 = 4.183702725713658e-05 / 0.674**2
    reference = cosmology.LambdaCDM(H0=67.4, Om0=0.315, Ode0=1 - 0.315 - Ok0 - Or0, Tcmb0=2.7255, Neff=3.046, m_nu=0.0)
    bg = background(theta(Ok0=Ok0), expansion)
    z = np.array([0.1, 1.0, 2.33, 1089.8])
    D_M = transverse(bg, distances(bg, distance_grid(z, 1090.0), expansion)[0])
    expected = reference.comoving_transverse_distance(z).value
    # astropy rounds G and sigma_SB differently in the tenth digit of the radiation density
    np.testing.assert_allclose(D_M, expected, rtol=1e-8)


def test_quadrature_holds_in_every_corner_of_the_parameter_box():
    """Relative error < 1e-10 against twelve panels of sixty nodes, for Ω_m 0.01–0.99, H0 20–150, k_sat 0.1–2."""
    expansion = Expansion("pbuf")
    z = np.array([0.01, 0.295, 1.0, 2.33])
    grid = distance_grid(z, 1090.0)
    x, w = np.polynomial.legendre.leggauss(60)
    corners = np.stack(np.meshgrid([20.0, 150.0], [0.01, 0.99], [0.005, 0.1], [0.1, 2.0], [-2.0, 2.0]), -1).reshape(
        -1, 5
    )
    for H0, Om0, Obh2, k_sat, n_eps in corners:
        values = theta(H0=H0, Om0=Om0, Obh2=Obh2, k_sat=k_sat, n_eps=n_eps, alpha=1e-2, Rmax=1e6, eps0=2.0)
        bg = background(values, expansion)
        wm = bg.Om0 * bg.h**2
        z_star, z_drag = Z_STAR["HS96"](values["Obh2"], wm), Z_DRAG["AAN21"](values["Obh2"], wm)
        got_x, reach = distances(bg, grid, expansion)
        got = [*np.asarray(got_x), float(reach + distance_beyond(bg, grid.z_reach, z_star, expansion))]
        for value, end in zip(got, [*z, float(z_star)], strict=True):
            u = np.concatenate([(k + 0.5 * (x + 1)) / 12 for k in range(12)]) * np.log1p(end)
            weight = np.tile(w, 12) * np.log1p(end) / 24
            f = np.asarray(a4_e2(bg, np.exp(-u), expansion))
            assert value == pytest.approx(float(np.sum(weight * np.exp(-u) / np.sqrt(f))), rel=1e-10)
        r_s = sound_horizon(bg, z_star, expansion)
        for value, end in [(r_s, z_star), (r_s + sound_horizon_between(bg, z_star, z_drag, expansion), z_drag)]:
            # in y = √(a + a_eq) the branch point a = −a_eq is gone; in a itself sixty nodes a panel do not resolve it
            a_eq = float(bg.Or0 / bg.Om0)
            low, high = np.sqrt(a_eq), np.sqrt(1.0 / (1.0 + float(end)) + a_eq)
            y = low + np.concatenate([(k + 0.5 * (x + 1)) / 12 for k in range(12)]) * (high - low)
            weight = np.tile(w, 12) * (high - low) / 24
            a = y * y - a_eq
            f = np.asarray(a4_e2(bg, a, expansion))
            integral = np.sum(weight * 2 * y / np.sqrt(3 * (1 + float(bg.Rb) * a) * f)) * C_KM_S / H0
            assert float(value) == pytest.approx(float(integral), rel=1e-10)


CAMB = json.loads((HERE / "cosmology_camb.json").read_text())


@pytest.mark.parametrize(
    "row", [r for r in CAMB["rows"] if r["mnu"] == 0.0], ids=lambda r: f"{r['H0']:g}-{r['Obh2']:g}"
)
def test_against_camb(row):
    """CAMB 2.0.5 with massless neutrinos: r_d by AAN21 within 0.01 %, z* by HS96C within 0.03 %, l_A within 0.02 %."""
    expansion = Expansion(constants="exact")
    values = theta(H0=row["H0"], Om0=row["Om0"], Obh2=row["Obh2"])
    bg = background(values, expansion)
    wm = bg.Om0 * bg.h**2
    z_star, z_drag = Z_STAR["HS96C"](values["Obh2"], wm), Z_DRAG["AAN21"](values["Obh2"], wm)
    grid = distance_grid(np.array([2.33]), 1090.0)
    x = distances(bg, grid, expansion)[1] + distance_beyond(bg, grid.z_reach, z_star, expansion)
    l_A = np.pi * float(transverse(bg, x) / sound_horizon(bg, z_star, expansion))
    assert float(sound_horizon(bg, z_drag, expansion)) == pytest.approx(row["rdrag"], rel=1e-4)
    assert float(z_star) == pytest.approx(row["zstar"], rel=3e-4)
    assert l_A == pytest.approx(row["lA"], rel=2e-4)
