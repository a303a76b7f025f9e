"""The compressed CMB of DESI DR2, `cmb:desi-dr2`: the dark energy that DESI finds with it, and a neutrino's mass."""

import pytest

import campaign
from campaign_cosmology.model.options import CosmologyOptions
from campaign_cosmology.model.problem import build


def fitted(model, free, start=None, **options):
    options = {"data": ["cmb:desi-dr2", "bao_ani"], "neutrinos": "one-massive", **options}
    return campaign.fit(build(CosmologyOptions(model=model, **options)), engine="trf", free=free, start=start)


def test_dark_energy_is_that_of_the_release():
    """DESI DR2 with the CMB, arXiv:2503.14738, Table V: w0 = −0.42 ± 0.21, wa = −1.75 ± 0.58."""
    found = fitted("w0wacdm", ["H0", "Om0", "Obh2", "w0", "wa"])
    assert found.outcome == "converged"
    assert found.theta["w0"] == pytest.approx(-0.42, abs=0.2 * 0.21)
    assert found.theta["wa"] == pytest.approx(-1.75, abs=0.2 * 0.58)
    assert found.stderr["w0"] == pytest.approx(0.21, rel=0.25)
    assert found.stderr["wa"] == pytest.approx(0.58, rel=0.25)


def test_the_shift_parameter_cannot_tell_neutrinos_from_matter():
    """With R, l_A and Ω_b h² the mass and H0 are one direction, named as such; (Ω_b + Ω_c) h² tells them apart."""
    free = ["H0", "Om0", "Obh2", "mnu"]
    assert set(fitted("lcdm", free, data=["cmb", "bao_ani"]).unidentified) == {"H0", "mnu"}
    held = fitted("lcdm", free)
    assert held.theta["mnu"] == 0.0  # DESI and the CMB prefer less than none
    assert held.stderr["H0"] == pytest.approx(0.303, abs=0.01)
    higher = [fitted("lcdm", free[:3], {"mnu": mass}).metric["chi2"] for mass in (0.06, 0.3)]
    assert held.metric["chi2"] < higher[0] < higher[1] - 4.0
