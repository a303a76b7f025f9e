"""What a sampler says in awkward cases: outcome, exit code, and a message with the parameter and the next step."""

import json

import pandas
import pytest

from campaign.cli.main import run

PROBLEM = """
import equinox as eqx
import jax.numpy as jnp
from campaign.science import Parameter, Prior, Problem, ThetaSpace


def space(n, prior=Prior("normal", (0.0, 1.0)), **more):
    return ThetaSpace(tuple(Parameter(name=f"x{i}", initial=0.5, scale=0.3, prior=prior, **more) for i in range(n)))


class Case(Problem):
    space: ThetaSpace = eqx.field(static=True)
    kind: str = eqx.field(static=True)

    def log_likelihood(self, theta):
        if self.kind == "spikes":  # each walker has a needle to itself
            return -1e12 * jnp.sum(jnp.sin(1e9 * theta) ** 2)
        if self.kind == "never":
            return jnp.nan * theta[0]
        if self.kind == "sometimes":
            return jnp.where(theta[0] > 0.0, -0.5 * theta[0] ** 2, jnp.nan)
        return -0.5 * jnp.sum((theta - 0.3) ** 2)


def good():
    return Case(space(2), "good")


def spikes():
    return Case(space(2), "spikes")


def never():
    return Case(space(2), "never")


def sometimes():
    return Case(space(2), "sometimes")


def unbounded():
    return Case(space(2, None), "good")


def one():
    return Case(space(1), "good")


def fifty():
    return Case(space(50), "good")
"""
STAYS = [[0.1 * k, 0.5] for k in range(8)]
SAME = [[0.1, 0.5]] * 8
CASES = {
    "stuck": ("spikes", {}, 0, "budget", "not mixed"),
    "no density": ("never", {}, 4, "nonfinite", ""),
    "constant parameter": ("good", {"init": "explicit", "positions": STAYS}, 3, "", "parameter number 2"),
    "identical walkers": ("good", {"init": "explicit", "positions": SAME}, 3, "", "it would never move"),
    "no prior to draw from": ("unbounded", {"init": "prior"}, 3, "", "`x0` has no prior and a missing bound"),
    "NaN": ("sometimes", {"steps": 3000}, 0, "converged", "the model failed at"),
    "too few walkers": ("fifty", {"walkers": 32}, 3, "", "at least 100"),
    "d = 1": ("one", {"steps": 3000}, 0, "converged", ""),
    "d = 50": ("fifty", {"walkers": None}, 0, "budget", "not mixed"),
    "d > 30": ("fifty", {"walkers": None, "steps": 20}, 0, "budget", "mixes slowly with 50 free parameters; above 30"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_said(case, tmp_path, monkeypatch, capsys):
    problem, options, code, outcome, words = CASES[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cases.py").write_text(PROBLEM)
    engine = {"name": "ensemble", "walkers": 8, "steps": 400, **options}
    document = {
        "schema": "campaign/1",
        "name": "cases",
        "problem": {"name": f"cases.py:{problem}"},
        "engine": engine,
    }
    (tmp_path / "manifest.json").write_text(json.dumps(document))
    found = run(["submit", "manifest.json", "-d", "out", "--executor", "inline", "--quiet"])
    said = capsys.readouterr().err
    table = tmp_path / "out" / "tables" / "summary.parquet"
    if table.exists():
        (row,) = pandas.read_parquet(table).to_dict("records")
        said += str(row["message"])
        assert row["outcome"] == outcome, said
    assert found == code, said
    assert words in said, said
