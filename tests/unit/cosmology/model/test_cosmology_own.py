"""Data of one's own: the same numbers are the same table, others are another, and bad files say what is wrong."""

import json
from importlib.resources import files

import jax.numpy as jnp
import numpy as np
import pytest

from campaign.science import DataFileError
from campaign_cosmology.data.tables import table
from campaign_cosmology.model.options import CosmologyOptions, space
from campaign_cosmology.model.own import own_table, read_matrix
from campaign_cosmology.model.problem import build

RELEASE = {"DV_over_rd": "DV_over_rs", "DM_over_rd": "DM_over_rs", "DH_over_rd": "DH_over_rs"}


def written(folder, name, *, factor=1.0, cut=None):
    """A shipped table as its release writes it: numbers and covariance, two files."""
    file = files("campaign_cosmology.data") / f"{name.replace(':', '_')}.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    keep = slice(cut)
    covariance = np.array(document["covariance"])[keep, keep]
    values = [v * factor for v in document["value"][keep]]
    if document["kind"] == "sn":
        rows = ["#name zcmb zhel mb dmb"]
        rows += [
            f"sn{i} {z!r} {z!r} {v!r} 0.0" for i, (z, v) in enumerate(zip(document["z"][keep], values, strict=True))
        ]
        numbers = f"{len(values)}\n" + "\n".join(repr(float(c)) for c in covariance.ravel())
    else:
        names = [RELEASE[q] for q in document["quantity"][keep]]
        rows = ["# [z] [value at z] [quantity]"]
        rows += [f"{z!r} {v!r} {q}" for z, v, q in zip(document["z"][keep], values, names, strict=True)]
        numbers = "\n".join(" ".join(repr(float(c)) for c in row) for row in covariance)
    mean, cov = folder / "mean.txt", folder / "cov.txt"
    mean.write_text("\n".join(rows) + "\n")
    cov.write_text(numbers + "\n")
    return mean, cov


@pytest.mark.parametrize("name", ["bao_ani:desi-dr2", "bao:6df-mgs", "sn:union3"])
def test_the_numbers_of_a_shipped_table_are_that_table(tmp_path, name):
    assert own_table(*written(tmp_path, name)) is table(name)


def test_other_numbers_are_another_table(tmp_path):
    found = own_table(*written(tmp_path, "bao_ani:desi-dr2", factor=1.03), name="mine")
    assert found.name == "bao_ani:mine"
    assert found.sha256 != table("bao_ani:desi-dr2").sha256
    np.testing.assert_allclose(found.value, 1.03 * table("bao_ani:desi-dr2").value, rtol=1e-15)


def test_own_and_built_in_have_the_same_bits(tmp_path):
    own = build(CosmologyOptions(data=["cmb"], own=[str(p) for p in written(tmp_path, "bao_ani:desi-dr2")]))
    built_in = build(CosmologyOptions(data=["cmb", "bao_ani"]))
    theta = jnp.asarray(built_in.space.initial)
    np.testing.assert_array_equal(own.residuals(theta), built_in.residuals(theta))
    assert own.derived(theta).keys() == built_in.derived(theta).keys()


def test_a_cut_table_predicts_what_the_whole_one_does(tmp_path):
    problem = build(CosmologyOptions(data=[], own=[str(p) for p in written(tmp_path, "sn:union3", cut=9)]))
    theta = jnp.asarray(problem.space.initial)
    whole = build(CosmologyOptions(data=["sn"]))
    np.testing.assert_allclose(problem.predict(theta)["sn"], whole.predict(theta)["sn"][:9], rtol=1e-14)


def test_two_sets_of_a_kind_have_a_chi2_each(tmp_path):
    mean, cov = written(tmp_path, "bao:6df-mgs", factor=1.01)
    problem = build(CosmologyOptions(data=["cmb", "bao_ani"], own=[str(mean), str(cov)]))
    derived = problem.derived(jnp.asarray(problem.space.initial))
    assert {"chi2_cmb", "chi2_bao_ani_desi_dr2", "chi2_bao_ani_mean"} <= derived.keys()


def test_numbers_without_redshift_are_priors(tmp_path):
    mean, cov = tmp_path / "p.txt", tmp_path / "c.txt"
    mean.write_text("# from my own chain\nH0 70.0\ntheta_star_100 1.0411\n")
    cov.write_text("1.0 0.0\n0.0 1e-8\n")
    problem = build(CosmologyOptions(data=["bao_ani"], own=[str(mean), str(cov)]))
    theta = jnp.asarray(problem.space.initial)
    r = np.asarray(problem.residuals(theta))[-2:]
    assert r[0] == pytest.approx(67.4 - 70.0, rel=1e-12)
    assert r[1] == pytest.approx((float(problem.derived(theta)["theta_star_100"]) - 1.0411) / 1e-4, rel=1e-8)


@pytest.mark.parametrize(
    ("numbers", "covariance", "said"),
    [
        ("", "1.0", "no rows"),
        ("0.5 13.0 DM_over_r\n", "1.0", "unknown quantity `DM_over_r`"),
        ("0.5 thirteen DM_over_rs\n", "1.0", "line 1: `thirteen` is no number"),
        ("0.5 13.0 DM_over_rs\n", "1.0 0.0\n0.0 1.0\n", "holds 4 numbers, for 1 rows 1 are needed"),
        ("0.5 13.0 DM_over_rs\n0.5 20 DH_over_rs\n", "1 2\n2 1\n", "not positive definite"),
        ("0.5 13.0 DM_over_rs\n0.5 20 DH_over_rs\n", "1 0.5\n0.1 1\n", "not symmetric"),
        ("0.5 13.0 DM_over_rs\n", "nan\n", "not finite"),
        ("0.5 13.0 DM_over_rs\n", "x\n", "no file of numbers"),
        ("-0.5 13.0 DM_over_rs\n", "1\n", "redshift -0.5"),
        ("h0 70\n", "1\n", "unknown quantity `h0`"),
        ("0.5 13.0 DM_over_rs\nH0 70\n", "1 0 0 1\n", "rows of 2, 3 columns"),
        ("#name zcmb zhel mb dmb\na 0.1 0.1 14\n", "1\n", "4 columns, the header has 5"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, numbers, covariance, said):
    mean, cov = tmp_path / "mean.txt", tmp_path / "cov.txt"
    mean.write_text(numbers)
    cov.write_text(covariance)
    with pytest.raises(DataFileError) as error:
        own_table(mean, cov)
    assert said in error.value.message


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataFileError, match=r"gone\.txt"):
        own_table(tmp_path / "gone.txt", tmp_path / "cov.txt")
    with pytest.raises(DataFileError, match=r"cov\.txt"):
        read_matrix(tmp_path / "cov.txt", 2)


def test_calibrators_compare_with_their_cepheids(tmp_path):
    mean, cov = tmp_path / "p+.dat", tmp_path / "c.txt"
    mean.write_text(
        "CID zHD zHEL m_b_corr IS_CALIBRATOR CEPH_DIST\n"
        "a 0.002 0.002 10.0 1 29.2\nb 0.05 0.05 17.5 0 -9.0\nc 0.1 0.1 19.0 0 -9.0\n"
    )
    cov.write_text("0.01 0 0\n0 0.01 0\n0 0 0.01\n")
    problem = build(CosmologyOptions(data=[], own=[str(mean), str(cov)]))
    predicted = np.asarray(problem.predict(jnp.asarray(problem.space.initial))["sn"])
    assert predicted[0] == 29.2
    assert predicted[1] == pytest.approx(36.8, abs=0.3)


def test_a_prior_frees_its_parameter_and_counts():
    options = CosmologyOptions(
        data=["cmb"],
        priors={"Neff": {"normal": [3.046, 0.2]}, "H0": {"uniform": [60, 72]}, "w0": {"normal": [-1, 0.1]}},
        model="wcdm",
    )
    found = space(options)
    assert "Neff" in found.free_names
    assert (found["H0"].lower, found["H0"].upper) == (60.0, 72.0)
    problem = build(options)
    assert len(problem.residuals(jnp.asarray(problem.space.initial))) == 3 + 2
    assert build(options.model_copy(update={"priors": {}})).setup.n_data == 3


def test_a_free_sound_horizon_is_a_parameter():
    problem = build(CosmologyOptions(data=["bao_ani"], zdrag="FREE"))
    assert problem.space.free_names == ("Om0", "r_d")
    theta = jnp.asarray(problem.space.initial)
    half = theta.at[problem.space.index("r_d")].multiply(0.5)
    np.testing.assert_allclose(problem.predict(half)["bao_ani"], 2.0 * problem.predict(theta)["bao_ani"], rtol=1e-14)


def test_dark_energy_may_be_overridden():
    import equinox as eqx

    from campaign_cosmology.model.problem import CosmologyProblem

    class Steeper(CosmologyProblem):
        def dark_energy(self, a, theta):
            return jnp.asarray(a) ** (4.0 - 3.0 * (1.0 - 0.9))

    built = build(CosmologyOptions(data=["cmb", "bao_ani"]))
    mine = Steeper(noise=built.noise, cov_scale=built.cov_scale, space=built.space, setup=built.setup)
    wcdm = build(CosmologyOptions(model="wcdm", data=["cmb", "bao_ani"]))
    other = jnp.asarray(wcdm.space.initial).at[wcdm.space.index("w0")].set(-0.9)
    np.testing.assert_allclose(
        mine.residuals(jnp.asarray(built.space.initial)), wcdm.residuals(other), rtol=1e-10, atol=1e-10
    )
    assert isinstance(mine, eqx.Module)


def test_equal_choices_compile_once_and_an_edited_file_is_read_again(tmp_path):
    mean, cov = written(tmp_path, "bao:6df-mgs", factor=1.01)
    options = CosmologyOptions(data=["cmb"], own=[str(mean), str(cov)], priors={"H0": {"normal": [70, 2]}})
    first = build(options).setup
    assert build(options).setup is first
    written(tmp_path, "bao:6df-mgs", factor=1.0123456)
    assert build(options).setup is not first
