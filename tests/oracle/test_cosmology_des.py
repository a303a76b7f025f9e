"""DES-SN5YR as its release writes it (CSV, and a compressed covariance of systematics), against astropy and NumPy.

The release's own files are not part of the project: a synthetic table of its format stands for them.
"""

import gzip

import jax.numpy as jnp
import numpy as np
import pytest

from campaign.science import DataFileError
from campaign_cosmology.model.options import CosmologyOptions
from campaign_cosmology.model.own import own_table
from campaign_cosmology.model.problem import build

HEADER = "CID,IDSURVEY,zCMB,zHD,zHEL,MU,MUERR_FINAL"


@pytest.fixture
def release(tmp_path):
    """(table, covariance, zHD, zHEL, MU, whole covariance) of 25 supernovae that follow no model exactly."""
    rng = np.random.default_rng(12)
    z = np.sort(rng.uniform(0.025, 1.1, 25))
    z_helio = z + rng.normal(0.0, 1e-3, 25)
    mu = 5 * np.log10(3000 * z * (1 + 0.75 * z) * (1 + z_helio) / (1 + z)) + 25 + rng.normal(0, 0.1, 25)
    error = rng.uniform(0.08, 0.4, 25)
    modes = rng.normal(0.0, 0.02, (25, 3))
    columns = zip(z.tolist(), z_helio.tolist(), mu.tolist(), error.tolist(), strict=True)
    rows = [f"{1246275 + i},10,{a!r},{a!r},{b!r},{m!r},{e!r}" for i, (a, b, m, e) in enumerate(columns)]
    table, covariance = tmp_path / "DES-SN5YR_HD.csv", tmp_path / "STAT+SYS.txt.gz"
    table.write_text("\n".join([HEADER, *rows]) + "\n")
    systematics = modes @ modes.T
    with gzip.open(covariance, "wt") as file:
        file.write("25\n" + "\n".join(repr(float(c)) for c in systematics.ravel()) + "\n")
    return table, covariance, z, z_helio, mu, systematics + np.diag(error**2)


def test_the_table_and_its_covariance(release):
    found = own_table(*release[:2])
    _, _, z, z_helio, mu, covariance = release
    assert found.name == "sn:DES-SN5YR_HD"
    assert found.kind == "sn"
    for seen, expected in ((found.z, z), (found.z_helio, z_helio), (found.value, mu), (found.covariance, covariance)):
        np.testing.assert_allclose(seen, expected, rtol=1e-14, atol=1e-17)


@pytest.mark.parametrize("Om0", [0.25, 0.352])
def test_chi2_and_offset_against_astropy(release, Om0):
    """χ² = A − B²/C and M = −B/C with D_L = (1 + zHEL) D_M(zHD)."""
    cosmology = pytest.importorskip("astropy.cosmology")
    table, covariance, z, z_helio, mu, whole = release
    problem = build(CosmologyOptions(data=[], own=[str(table), str(covariance)], constants="exact"))
    theta = jnp.asarray(problem.space.theta({"Om0": Om0, "H0": 70.0}))
    known = cosmology.FlatLambdaCDM(H0=70.0, Om0=Om0, Tcmb0=2.7255, Neff=3.046, m_nu=0.0)
    model = 5 * np.log10((1 + z_helio) * known.comoving_distance(z).value) + 25
    inverse = np.linalg.inv(whole)
    r = model - mu
    a, b, c = r @ inverse @ r, np.sum(inverse @ r), np.sum(inverse)
    derived = problem.derived(theta)
    assert float(derived["chi2_sn"]) == pytest.approx(a - b * b / c, rel=1e-7)
    assert float(derived["M_sn"]) == pytest.approx(-b / c, abs=1e-7)
    assert problem.n_profiled == 1


def test_statistical_errors_alone_are_a_file_of_zeros(release, tmp_path):
    zeros = tmp_path / "STATONLY.txt"
    zeros.write_text("25\n" + "0.0\n" * 625)
    error = np.sqrt(np.diag(own_table(release[0], zeros).covariance))
    assert error.min() > 0.079
    assert error.max() < 0.401


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1246300,10,0.5,0.5,,41.0,0.1", "line 27: `` is no number"),
        ("1246300,10,0.5", "line 27: 3 columns, the header"),
    ],
)
def test_a_damaged_row_is_named(release, line, said):
    table, covariance = release[:2]
    table.write_text(table.read_text() + line + "\n")
    wide = covariance.parent / "wide.txt"
    wide.write_text("26\n" + "0.0\n" * 676)
    with pytest.raises(DataFileError, match=said):
        own_table(table, wide)


def test_a_broken_archive_is_named(release):
    table, covariance = release[:2]
    covariance.write_bytes(covariance.read_bytes()[:200])
    with pytest.raises(DataFileError, match=r"`STAT\+SYS.txt.gz` cannot be read"):
        own_table(table, covariance)
