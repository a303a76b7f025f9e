"""`campaign reweight`: a mean with a normal prior, whose posteriors and evidences are closed forms."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from campaign.cli.main import run
from campaign.drive.doors import submit
from campaign.errors import InvalidValue
from campaign.reweighting import reweight_run

PROBLEM = """
import equinox as eqx
import jax.numpy as jnp

from campaign.science import Normal, Parameter, Problem, ThetaSpace

Y = (0.3, 0.1, 0.7, 0.4, 0.9, 0.5)


class Mean(Problem):
    space: ThetaSpace = eqx.field(static=True)
    n: int = eqx.field(static=True)

    def residuals(self, theta):
        return (jnp.asarray(Y[: self.n]) - theta[0] - theta[1]) / 0.5


def mean(n: int = 4, centre: float = 0.0, slope: bool = False):
    held = Parameter(name="offset", initial=0.1, free=False)
    more = (Parameter(name="slope", initial=0.0),) if slope else ()
    return Mean(ThetaSpace((Parameter(name="x", initial=0.1, prior=Normal(centre, 1.0)), held, *more)), n)
"""
Y = np.array([0.3, 0.1, 0.7, 0.4, 0.9, 0.5]) - 0.2  # what the run holds the offset at


def posterior(n, centre, factor=None):
    """Mean, standard deviation and ln of the evidence, with an added normal factor (mean, sd)."""
    numbers = [(y, 0.5) for y in Y[:n]] + [(centre, 1.0)] + ([] if factor is None else [factor])
    mean, variance = numbers[0][0], numbers[0][1] ** 2
    total = 0.5 * math.log(2 * math.pi * 0.25) * n  # likelihoods are without their constants
    for value, sd in numbers[1:]:
        total += stats.norm.logpdf(value, mean, math.sqrt(variance + sd**2))
        mean = (mean / variance + value / sd**2) / (1 / variance + 1 / sd**2)
        variance = 1 / (1 / variance + 1 / sd**2)
    return mean, math.sqrt(variance), total


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reweight")
    (folder / "model.py").write_text(PROBLEM)
    document = {
        "schema": "campaign/1",
        "name": "r",
        "problem": {"name": "model.py:mean"},
        "start": {"offset": 0.2},
        "engine": {"name": "ensemble", "walkers": 32, "steps": 2000, "burn_in": 0.2},
    }
    (folder / "m.json").write_text(json.dumps(document))
    submit(folder / "m.json", folder / "results", executor="inline")
    return folder / "results"


@pytest.mark.parametrize(
    ("changes", "priors"),
    [
        ({"n": 6}, {}),
        ({"centre": 0.5}, {}),
        ({}, {"x": {"normal": [0.4, 0.3]}}),
        ({"n": 5, "centre": -0.3}, {"x": {"normal": [0.2, 0.5]}}),
    ],
)
def test_other_data_and_other_priors_against_closed_forms(directory, changes, priors):
    found = reweight_run(directory, changes=changes, priors=priors)
    factor = tuple(priors["x"]["normal"]) if priors else None
    mean, error, evidence = posterior(changes.get("n", 4), changes.get("centre", 0.0), factor)
    one = found.estimates[0]
    noise = error / math.sqrt(found.result.n_effective)
    assert found.names == ("x",)
    assert abs(one.mean - mean) < 4 * noise
    assert one.error == pytest.approx(error, abs=4 * noise)
    assert [one.low, one.high] == pytest.approx(stats.norm.ppf([0.16, 0.84], mean, error), abs=6 * noise)
    assert found.log_ratio is not None
    assert abs(found.log_ratio - (evidence - posterior(4, 0.0)[2])) < 4 * found.result.log_ratio_stderr
    assert 100 < found.result.n_effective < found.result.n_independent < len(found.draws) == 10_000


def test_the_command_prints_both_and_writes_weights_that_getdist_reads(directory, tmp_path, capsys):
    root = tmp_path / "weighted"
    words = ["reweight", str(directory), "--set", "n=6", "--prior", "x=0.4,0.3", "--draws", "2000", "-o", str(root)]
    assert run([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "campaign.reweight/1"
    assert document["changes"] == {"n": 6}
    weight, _, x = np.loadtxt(f"{root}.txt", unpack=True)
    assert np.average(x, weights=weight) == pytest.approx(document["parameters"][0]["mean"], rel=1e-12)
    assert (root.parent / "weighted.paramnames").read_text() == "x x\n"
    assert run(words) == 0
    out = capsys.readouterr().out
    assert "re-weighted" in out
    assert "effective draws" in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--prior", "x=40,0.1"], 3, "sample the posterior with all data instead"),
        ([], 3, "nothing was changed"),
        (["--set", "nn=3"], 3, "did you mean `n`?"),
        (["--set", "slope=true"], 3, "a free `slope`, which the run does not have"),
        (["--prior", "y=0,1"], 3, "no draws of"),
        (["--prior", "x=one"], 2, "is no JSON"),
        (["--set", "n"], 2, "is no NAME=VALUE"),
        (["--prior", "x=0.4,0.3", "--least", "1e6"], 3, "are fewer than 1e+06"),
    ],
)
def test_what_is_refused_says_what_to_do(directory, words, code, said, capsys):
    assert run(["reweight", str(directory), "last", *words]) == code
    assert said in capsys.readouterr().err


def test_a_run_that_is_no_chain_is_refused(tmp_path):
    document = {"schema": "campaign/1", "name": "f", "problem": {"name": "decay"}, "engine": {"name": "trf"}}
    (tmp_path / "m.json").write_text(json.dumps(document))
    submit(tmp_path / "m.json", tmp_path / "results", executor="inline")
    with pytest.raises(InvalidValue, match="is no chain"):
        reweight_run(tmp_path / "results", priors={"rate": {"normal": [1, 1]}})
