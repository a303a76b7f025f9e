"""Data tables: names, order of rows, hashes, covariances, files of Pantheon+."""

import copy
import json
from importlib.resources import files

import numpy as np
import pytest

from campaign.science import DataFileError, InvalidValue, UnknownName
from campaign_cosmology.data import pantheon_plus
from campaign_cosmology.data.data_table import content_hash, parse_table
from campaign_cosmology.data.tables import SHIPPED, full_name, resolve, table


def document(name):
    return json.loads((files("campaign_cosmology") / "data" / f"{name.replace(':', '_')}.json").read_text())


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_table_loads_and_has_its_sources(name):
    t = table(name)
    assert t.name == name
    assert len(t.value) == len(t.z) == len(t.quantity) == len(t.covariance)
    assert "arXiv:" in t.citation
    assert len(t.sha256) == 64


def test_short_names_stand_for_the_recommended_sets():
    assert resolve(["cmb", "bao", "bao_ani", "sn"]) == (
        "cmb:cmb3",
        "bao:6df-mgs",
        "bao_ani:desi-dr2",
        "sn:union3",
    )


def test_desi_dr2_has_dh_before_dm_at_the_lyman_alpha_redshift():
    """The trap of the release's row order: D_H/r_d = 8.63 comes first, D_M/r_d = 38.99 second."""
    t = table("bao_ani")
    assert t.quantity[-2:] == ("DH_over_rd", "DM_over_rd")
    assert t.value[-2:] == pytest.approx([8.631545674846294, 38.988973961958784])
    assert t.covariance[-1, -1] == pytest.approx(0.53168**2, rel=1e-4)
    assert t.covariance[1, 2] / np.sqrt(t.covariance[1, 1] * t.covariance[2, 2]) == pytest.approx(-0.4516, abs=1e-4)


def test_cmb_covariance_is_the_inverse_of_what_is_published():
    t = table("cmb")
    np.testing.assert_allclose(np.sqrt(np.diag(t.covariance)), [0.00462101, 0.08886409, 0.00014912], rtol=2e-5)
    np.testing.assert_allclose(
        t.covariance @ np.array(document("cmb:cmb3")["inverse_covariance"]), np.eye(3), atol=1e-9
    )


def test_boss_dr12_is_converted_to_ratios():
    """D_M (rd_fid/rd) = 1512.39 Mpc at rd_fid = 147.78 Mpc is D_M/r_d = 10.234; H 81.2087 gives D_H/r_d = 24.98."""
    t = table("bao_ani:boss-dr12")
    assert t.value[0] == pytest.approx(1512.39 / 147.78, rel=1e-12)
    assert t.value[1] == pytest.approx(299792.458 / 81.2087 / 147.78, rel=1e-12)


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        ([], InvalidValue, "no data set"),
        (["cbm"], UnknownName, "did you mean `cmb`"),
        (["bao_ani:desi-dr3"], KeyError, "did you mean"),
        (["cmb", "cmb"], InvalidValue, "twice"),
        (["bao_ani:boss-dr12", "bao_ani:eboss-dr16"], ValueError, "overlap"),
        (["bao_ani", "bao_ani:boss-dr12"], InvalidValue, "overlap"),
        (["sn", "sn:pantheon-binned"], InvalidValue, "overlap"),
        (["cmb", "cmb:cmb4"], InvalidValue, "overlap"),
        (["cmb:desi-dr2", "cmb"], InvalidValue, "overlap"),
    ],
)
def test_what_may_not_be_combined(names, error, words):
    with pytest.raises(error, match=words):
        resolve(names)


def test_unknown_name_lists_what_there_is():
    with pytest.raises(UnknownName, match=r"valid: .*`bao_ani`"):
        full_name("weak_lensing")


@pytest.mark.parametrize("change", ["swap rows", "digit", "label"])
def test_a_changed_table_is_refused_by_its_hash(change):
    d = document("bao_ani:desi-dr2")
    if change == "swap rows":
        for key in ("value", "quantity"):
            d[key][-1], d[key][-2] = d[key][-2], d[key][-1]
    elif change == "digit":
        d["value"][0] += 1e-8
    else:
        d["quantity"][0] = "DM_over_rd"
    with pytest.raises(DataFileError, match="content hash"):
        parse_table(d, source="here")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda c: c[0].__setitem__(1, 5.0), "not symmetric"),
        (lambda c: [c[0].__setitem__(1, 5.0), c[1].__setitem__(0, 5.0)], "not positive definite"),
        (lambda c: c[0].__setitem__(0, -1.0), "variance ≤ 0"),
        (lambda c: c.pop(), "shape"),
    ],
)
def test_a_bad_covariance_is_refused(spoil, words):
    d = copy.deepcopy(document("bao:6df-mgs"))
    spoil(d["covariance"])
    d["sha256"] = content_hash(d)
    with pytest.raises(DataFileError, match=words):
        parse_table(d, source="here")


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A small release in the format of Pantheon+: six supernovae, two of them calibrators, one too near."""
    header = "CID IDSURVEY zHD zHDERR zCMB zHEL m_b_corr m_b_corr_err_DIAG CEPH_DIST IS_CALIBRATOR"
    z = [0.0012, 0.002, 0.005, 0.02, 0.1, 0.5]
    ceph = [29.177, 30.1, -9.0, -9.0, -9.0, -9.0]
    rows = [
        f"sn{i} 1 {zi} 0.001 {zi} {zi - 1e-5} {15 + i} 0.1 {c} {int(c > 0)}" for i, (zi, c) in enumerate(zip(z, ceph))
    ]
    (tmp_path / pantheon_plus.TABLE_FILE).write_text("\n".join([header, *rows]) + "\n")
    covariance = np.diag(np.arange(1, 7) * 0.01) + 0.001
    numbers = [6, *covariance.ravel()]
    (tmp_path / pantheon_plus.COVARIANCE_FILE).write_text(
        "\n".join(repr(float(x)) if i else "6" for i, x in enumerate(numbers))
    )
    monkeypatch.setenv("CAMPAIGN_DATA", str(tmp_path))
    return tmp_path, covariance


def test_pantheon_plus_masks_rows_and_both_axes_of_the_covariance(release):
    _, covariance = release
    t = pantheon_plus.load_pantheon_plus(verify=False)
    assert t.z.tolist() == [0.02, 0.1, 0.5]
    np.testing.assert_allclose(t.covariance, covariance[3:, 3:])
    np.testing.assert_allclose(t.z_helio, t.z - 1e-5)
    with_calibrators = pantheon_plus.load_pantheon_plus(verify=False, calibrators=True)
    assert with_calibrators.anchor[:2].tolist() == [29.177, 30.1]
    keep = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(with_calibrators.covariance, covariance[np.ix_(keep, keep)])


def test_pantheon_plus_refuses_other_files(release, monkeypatch):
    folder, _ = release
    with pytest.raises(DataFileError, match="SHA-256"):
        pantheon_plus.load_pantheon_plus()
    text = (folder / pantheon_plus.COVARIANCE_FILE).read_text().splitlines()
    (folder / pantheon_plus.COVARIANCE_FILE).write_text("\n".join(text[:-1]))
    with pytest.raises(DataFileError, match="35 numbers"):
        pantheon_plus.load_pantheon_plus(verify=False)
    monkeypatch.setenv("CAMPAIGN_DATA", str(folder / "empty"))
    monkeypatch.setattr(pantheon_plus, "COVARIANCE_FILE", "not-there.cov")
    monkeypatch.setattr(pantheon_plus, "TABLE_FILE", "not-there.dat")
    with pytest.raises(DataFileError, match="CAMPAIGN_DATA"):
        pantheon_plus.load_pantheon_plus()
