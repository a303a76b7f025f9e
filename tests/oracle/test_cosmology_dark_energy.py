"""Dark energy, curvature and a massive neutrino: against astropy, scipy's quadrature and CAMB."""

import json
from itertools import pairwise
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from campaign_cosmology.physics.background import Expansion, background, distance_beyond, distances, hubble, transverse
from campaign_cosmology.physics.neutrinos import density_ratio
from campaign_cosmology.physics.quadrature import distance_grid
from campaign_cosmology.physics.recombination import Z_DRAG, Z_STAR
from campaign_cosmology.physics.sound_horizon import sound_horizon

CAMB = json.loads((Path(__file__).parent / "data" / "cosmology_camb.json").read_text())
Z = np.array([0.1, 0.51, 1.0, 2.33, 1000.0])
RADIATION = 4.183702725713658e-05  # Ω_r h² of the constants "exact", N_eff = 3.046


def theta(**values):
    given = {"H0": 67.4, "Om0": 0.315, "Obh2": 0.02237, "Neff": 3.046, "Tcmb": 2.7255, "Ok0": 0.0, **values}
    return {name: jnp.asarray(float(v)) for name, v in given.items()}


@pytest.mark.parametrize(("w0", "wa", "Ok0"), [(-0.687, -0.99, 0.0), (-0.9, 0.3, 0.02), (-1.2, 0.0, -0.05)])
def test_evolving_dark_energy_agrees_with_astropy(w0, wa, Ok0):
    cosmology = pytest.importorskip("astropy.cosmology")
    Or0 = RADIATION / 0.674**2
    reference = cosmology.w0waCDM(
        H0=67.4, Om0=0.315, Ode0=1 - 0.315 - Ok0 - Or0, w0=w0, wa=wa, Tcmb0=2.7255, Neff=3.046, m_nu=0.0
    )
    expansion = Expansion("w0wacdm", constants="exact")
    bg = background(theta(w0=w0, wa=wa, Ok0=Ok0), expansion)
    x = distances(bg, distance_grid(Z, 1090.0), expansion)[0]
    np.testing.assert_allclose(transverse(bg, x), reference.comoving_transverse_distance(Z).value, rtol=1e-8)
    np.testing.assert_allclose(hubble(bg, Z, expansion), reference.H(Z).value, rtol=1e-8)


def test_laws_contain_each_other():
    laws = {
        "lcdm": theta(),
        "wcdm": theta(w0=-1.0),
        "w0wacdm": theta(w0=-1.0, wa=0.0),
    }
    rates = [np.asarray(hubble(background(v, Expansion(m)), Z, Expansion(m))) for m, v in laws.items()]
    np.testing.assert_allclose(rates[1], rates[0], rtol=1e-14)
    np.testing.assert_allclose(rates[2], rates[0], rtol=1e-14)


def test_dark_energy_that_does_not_fade_has_no_distances():
    expansion = Expansion("w0wacdm")
    bg = background(theta(w0=-0.5, wa=0.6), expansion)
    assert np.isnan(distances(bg, distance_grid(Z, 1090.0), expansion)[1])


@pytest.mark.parametrize("y", [0.0, 1e-3, 0.03, 0.5, 1.0, 5.0, 50.0, 357.0, 5000.0])
def test_the_density_of_a_massive_neutrino_is_its_integral(y):
    def energy(x):
        return x * x * np.sqrt(x * x + y * y) / (np.exp(x) + 1.0)

    edges = sorted({0.0, min(y, 1.0), 1.0, 10.0, 80.0})
    integral = sum(quad(energy, low, high, epsabs=0, epsrel=1e-12)[0] for low, high in pairwise(edges))
    assert float(density_ratio(jnp.asarray(y))) == pytest.approx(integral / (7 * np.pi**4 / 120), rel=1e-10)


def test_the_density_today_is_the_mass_over_93_eV():
    bg = background(theta(mnu=0.06), Expansion(constants="exact", neutrinos="one-massive"))
    assert 0.06 / float(bg.Onu0 * bg.h**2) == pytest.approx(93.0, abs=0.05)
    assert float(hubble(bg, np.zeros(1), Expansion(constants="exact", neutrinos="one-massive"))[0]) == pytest.approx(
        67.4, rel=1e-14
    )


@pytest.mark.parametrize("row", CAMB["rows"], ids=lambda r: f"{r['H0']:g}-{r['Obh2']:g}-{r['mnu']:g}")
def test_against_camb_with_and_without_a_mass(row):
    """Integrals at CAMB's own redshifts to 5e-5; r_d by AAN21 to 1e-4, l_A by HS96C to 2e-4: what the fits allow."""
    expansion = Expansion(constants="exact", neutrinos="one-massive" if row["mnu"] else "massless")
    values = theta(H0=row["H0"], Om0=row["Om0"], Obh2=row["Obh2"], mnu=row["mnu"])
    bg = background(values, expansion)
    grid = distance_grid(np.array([2.33]), 1090.0)

    def acoustic(z_star):
        x = distances(bg, grid, expansion)[1] + distance_beyond(bg, grid.z_reach, z_star, expansion)
        return np.pi * float(transverse(bg, x) / sound_horizon(bg, z_star, expansion))

    z_star = jnp.asarray(row["zstar"])
    assert float(sound_horizon(bg, z_star, expansion)) == pytest.approx(row["rstar"], rel=5e-5)
    assert float(sound_horizon(bg, jnp.asarray(row["zdrag"]), expansion)) == pytest.approx(row["rdrag"], rel=5e-5)
    assert acoustic(z_star) == pytest.approx(row["lA"], rel=5e-5)
    w_cb = (bg.Om0 - bg.Onu0) * bg.h**2
    z_drag = Z_DRAG["AAN21"](values["Obh2"], w_cb)
    assert float(sound_horizon(bg, z_drag, expansion)) == pytest.approx(row["rdrag"], rel=1e-4)
    assert acoustic(Z_STAR["HS96C"](values["Obh2"], w_cb)) == pytest.approx(row["lA"], rel=2e-4)


def test_the_shift_by_a_mass_is_that_of_the_boltzmann_code():
    """One species of 0.06 eV at fixed Om0 and H0 moves r_d by +0.11 % and l_A by −0.25, as in CAMB."""
    rows = CAMB["rows"][:2]
    shift = {"rdrag": rows[1]["rdrag"] / rows[0]["rdrag"] - 1.0, "lA": rows[1]["lA"] - rows[0]["lA"]}
    found = []
    for row in rows:
        expansion = Expansion(constants="exact", neutrinos="one-massive" if row["mnu"] else "massless")
        bg = background(theta(mnu=row["mnu"]), expansion)
        w_cb = (bg.Om0 - bg.Onu0) * bg.h**2
        z_star, z_drag = (f(jnp.asarray(0.02237), w_cb) for f in (Z_STAR["HS96C"], Z_DRAG["AAN21"]))
        grid = distance_grid(np.array([2.33]), 1090.0)
        x = distances(bg, grid, expansion)[1] + distance_beyond(bg, grid.z_reach, z_star, expansion)
        l_A = np.pi * float(transverse(bg, x) / sound_horizon(bg, z_star, expansion))
        found.append((float(sound_horizon(bg, z_drag, expansion)), l_A))
    assert found[1][0] / found[0][0] - 1.0 == pytest.approx(shift["rdrag"], abs=5e-5)
    assert found[1][1] - found[0][1] == pytest.approx(shift["lA"], abs=0.02)


def test_the_hubble_rate_near_today_is_a_tilted_constant():
    """dH/dz at 0 of wCDM: H0 (3 (1 + w0 Ω_Λ) …)/2 to first order, here by the closed form of E²."""
    bg = background(theta(w0=-0.8), Expansion("wcdm"))
    z = 1e-6
    slope = (float(hubble(bg, np.array([z]), Expansion("wcdm"))[0]) - 67.4) / z
    closed = 0.5 * 67.4 * float(3 * bg.Om0 + 4 * bg.Or0 + 3 * (1 - 0.8) * bg.OL0)
    assert slope == pytest.approx(closed, rel=1e-5)
