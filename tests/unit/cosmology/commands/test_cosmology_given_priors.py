"""Priors of the command line: every form, what each does to a fit, and what is no prior."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from campaign.science import UnknownName, UsageError
from campaign_cosmology import load_dataset, own_posterior, run_fit
from campaign_cosmology.commands import fit as cli
from campaign_cosmology.commands.given_priors import given_priors


def call(*arguments):
    return CliRunner().invoke(cli.group, list(arguments), catch_exceptions=False)


def test_words_and_json_are_the_same():
    words = given_priors(["H0=uniform:60,80", "Om0=truncated_normal:0.3,0.01,0.2,0.4", "Obh2=0.022,0.001"], {})
    document = {"H0": {"uniform": [60, 80]}, "Om0": {"truncated_normal": [0.3, 0.01, 0.2, 0.4]}}
    both = given_priors(["Obh2=normal:0.022,0.001"], document)
    texts = given_priors([f"{name}={json.dumps(one)}" for name, one in document.items()] + ["Obh2=0.022,0.001"], {})
    assert words == both == texts
    assert words.bounds == {"H0": (60.0, 80.0), "Om0": (0.2, 0.4)}
    table = load_dataset(words.datasets[0])
    assert table["observations"] == {"Obh2": 0.022, "Om0": 0.3}
    np.testing.assert_allclose(np.diag(table["covariance"]), [1e-6, 1e-4])
    assert given_priors(["H0=uniform:10,80"], {}).bounds == {"H0": (20.0, 80.0)}  # inside the physical ones


def test_those_that_have_a_name():
    assert given_priors(["SH0ES", "bbn", "prior:sh0es"], {}).datasets == ("prior:sh0es", "prior:bbn", "prior:sh0es")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("H0=73", "`normal` takes"),
        ("H0=73,high", "is no prior"),
        ("H0=flat:60,80", "flat"),
        ("H0=gamma:2,3", "valid: normal, truncated_normal, uniform"),
        ('H0={"uniform": [60', "is no prior"),
        ("H0=uniform:80,60", "uniform"),
        ("H0=uniform:200,300", "allows nothing inside its bounds"),
        ("shoes", "did you mean `sh0es`"),
        ("missing.json", "cannot be read"),
    ],
)
def test_what_is_no_prior(text, said):
    with pytest.raises((UsageError, ValueError, KeyError)) as found:
        given_priors([text], {})
    assert said in f"{found.value} {getattr(found.value, 'hint', '')}"


def test_an_unknown_parameter_has_a_hint():
    with pytest.raises(UnknownName, match="H00"):
        given_priors(["H00=uniform:60,80"], {})


def test_a_uniform_prior_bounds_the_fit_and_is_listed():
    """BAO alone have no lower limit of H0 at Obh2 held that 70 to 80 would cut: the optimum is at the bound."""
    arguments = ("fit-aniso", "--optimize", "H0,Om0", "--prior", "H0=uniform:75,80", "--prior", "sh0es")
    found = json.loads(call(*arguments, "--json").stdout)
    assert found["provenance"]["priors"] == {"H0": {"uniform": [75.0, 80.0]}}
    assert found["optimization"]["bound_sides"] == {"H0": "lower"}
    assert found["params"]["H0"] == pytest.approx(75.0)
    assert "prior:sh0es" in found["provenance"]["datasets"]
    assert found["metrics"]["n_data"] == 14
    assert "prior: H0 uniform between 75 and 80" in call(*arguments).stdout
    with pytest.raises(ValueError, match="`ns` has bounds of a prior and does not move"):
        call(*arguments, "--prior", "ns=uniform:0.9,1.0")


def test_an_earlier_posterior_is_a_prior(tmp_path):
    """Two fits, one after the other, are the joint fit, as far as the first posterior is a Gaussian."""
    free = ["H0", "Om0", "Obh2"]
    earlier = tmp_path / "cmb.json"
    with pytest.warns(UserWarning, match="dof = 0"):
        earlier.write_text(json.dumps(_plain(run_fit("lcdm", ["cmb"], optimization_params=free))))
    said = call("fit-aniso", "--prior", str(earlier), "--optimize", ",".join(free), "--json", "--no-save")
    found = json.loads(said.stdout)
    joint = run_fit("lcdm", ["cmb", "bao_ani"], optimization_params=free)
    for name in free:
        error = joint["optimization"]["stderr"][name]
        assert abs(found["params"][name] - joint["params"][name]) < 0.15 * error
        assert found["optimization"]["stderr"][name] == pytest.approx(error, rel=0.05)
    assert found["metrics"]["n_data"] == 16
    with pytest.raises(ValueError, match="it counts twice"):
        call("fit-cmb", "--prior", str(earlier), "--optimize", "H0,Om0,Obh2")
    with pytest.raises(ValueError, match="no optimised parameters"):
        own_posterior(run_fit("lcdm", ["bao_ani"]))
    (tmp_path / "other.json").write_text("[1, 2]")
    with pytest.raises(UsageError, match="holds no result"):
        given_priors([str(tmp_path / "other.json")], {})


def _plain(result):
    return {"optimization": result["optimization"]}
