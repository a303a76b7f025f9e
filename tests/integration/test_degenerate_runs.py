"""Runs whose result is none of the stated model: their rows, commands, what is best; in general and of XPCS maps."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

import campaign
from campaign.analysis.results import stage_results
from campaign.cli.main import run
from campaign.errors import InvalidValue

# two minima: −3, where the model is cut off at 0, is the lower one
CUT = """
import equinox as eqx
import jax.numpy as jnp

from campaign.science import Parameter, Problem, ThetaSpace


class Cut(Problem):
    space: ThetaSpace = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def residuals(self, theta):
        return jnp.stack([(theta[0] ** 2 - 9.0) / 2.0, jnp.where(theta[0] > 0, 1.0, 0.1)])

    def derived(self, theta):
        return {"cut": jnp.where(theta[0] > 0, 0.0, 0.5)}

    def degenerate(self):
        return {self.name: "the rate is cut off at this share of the times"}


def cut(name: str = "cut") -> Cut:
    return Cut(ThetaSpace((Parameter(name="rate", initial=1.0),)), name)


cut.version = "1"
"""


def submitted(folder, content):
    (folder / "m.json").write_text(json.dumps({"schema": "campaign/1", "name": "t", **content}))
    assert run(["submit", str(folder / "m.json"), "-d", str(folder / "r"), "--executor", "inline", "--quiet"]) == 0
    return pq.read_table(folder / "r" / "tables" / "summary.parquet").to_pylist()


def test_rows_commands_and_later_stages_tell_them_apart(tmp_path, capsys):
    (tmp_path / "cut.py").write_text(CUT)
    fit = {
        "name": "fit",
        "problem": {"name": "cut.py:cut"},
        "engine": {"name": "trf"},
        "expand": {"grid": {"start.rate": [-4.0, 4.0]}},
    }
    again = {"name": "again", "start": {"from": "fit"}, "engine": {"name": "trf"}}
    rows = submitted(tmp_path, {"stages": [fit, again]})
    low, high = sorted((row for row in rows if row["stage"] == "fit"), key=lambda row: row["start.rate"])
    assert (low["status"], low["outcome"]) == ("ok", "degenerate")
    assert (high["status"], high["outcome"]) == ("ok", "converged")
    assert low["loss"] < high["loss"]
    said = "the result is none of the stated model: the rate is cut off at this share of the times (derived.cut = 0.5)"
    assert low["message"].startswith(said)
    assert [row["theta.rate"] for row in rows if row["stage"] == "again"] == pytest.approx([3.0])
    best = stage_results(tmp_path / "r")[0]
    assert best.outcomes == {"degenerate": 1, "converged": 1}
    assert best.best[0].run_id == high["run_id"]
    capsys.readouterr()
    assert run(["ls", str(tmp_path / "r"), "--stage", "fit"]) == 0
    assert "degenerate" in capsys.readouterr().out
    assert run(["show", str(tmp_path / "r"), low["run_id"]]) == 0
    assert f"ok: degenerate, {said}" in " ".join(capsys.readouterr().out.split())


def test_a_name_that_derived_does_not_give_is_a_mistake_of_the_problem(tmp_path, monkeypatch):
    (tmp_path / "other_cut.py").write_text(CUT)
    monkeypatch.syspath_prepend(tmp_path)
    from other_cut import cut  # pyright: ignore[reportMissingImports]

    with pytest.raises(InvalidValue, match="`degenerate` names `cuts`, which `derived` does not give"):
        campaign.fit(cut("cuts"), "trf")


def test_maps_whose_rates_are_floored(tmp_path):
    """D(t) is held where homodyne's fits of D(3,100) end: negative at all times without its floor."""
    held = {"D0": 200.0, "alpha": 0.0, "D_offset": -900.0}
    problem = {"name": "xpcs", "n_phi": 3, "n_frames": 12, "fixed": [*held, "phi0"]}
    content = {
        "problem": problem,
        "engine": {"name": "varpro"},
        "expand": {"list": [{"problem.values": {}}, {"problem.values": held}]},
    }
    rows = sorted(submitted(tmp_path, content), key=lambda row: row["derived.floored_D"])
    assert rows[1]["outcome"] == "degenerate"
    said = "D(t) is floored at some times: hold D_offset where the data do not tell it (derived.floored_D = 1)"
    assert said in rows[1]["message"]
    for row in rows:
        is_floored = row["derived.floored_D"] > 0 or row["derived.floored_gamma"] > 0
        assert (row["outcome"] == "degenerate") == is_floored
