"""A model that raises, exits, hangs or crashes, while it is built, traced or run: its own runs fail, and no others."""

from __future__ import annotations

import json

import pytest

from running import campaign, table, write_manifest

MODEL = """
import os, signal, sys, time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.science import Parameter, Problem, ThetaSpace


def misbehave(how):
    if how == "raise":
        raise ValueError("the detector is off")
    if how == "exit":
        sys.exit(3)
    if how == "quit":
        os._exit(3)
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "hang":
        time.sleep(3600)


class Level(Problem):
    space: ThetaSpace = eqx.field(static=True)
    how: str = eqx.field(static=True)
    traced: bool = eqx.field(static=True)
    y: jax.Array
    bad: jax.Array

    def residuals(self, theta):
        if self.traced:
            misbehave(self.how)
            return theta[0] - self.y

        def look(bad):
            if bad:
                misbehave(self.how)
            return np.float64(0.0)

        nothing = jax.pure_callback(look, jax.ShapeDtypeStruct((), float), self.bad, vmap_method="sequential")
        return theta[0] - self.y + nothing


def level(k: int = 0, how: str = "", when: str = "") -> Level:
    is_bad = k % 5 == 3
    if is_bad and when == "build":
        misbehave(how)
    space = ThetaSpace((Parameter(name="a", initial=1.0),))
    traced = is_bad and when == "trace"
    return Level(space, how, traced, jnp.full(4, float(k)), jnp.asarray(is_bad and when == "run"))
"""
N = 10
BAD = {3, 8}
OUTCOMES = {"raise": "error", "exit": "error", "hang": "timeout", "crash": "lost", "quit": "lost"}
FAULTS = [("raise", "run"), ("hang", "trace"), ("hang", "run"), ("exit", "trace"), ("crash", "run")]


@pytest.mark.parametrize(("how", "when"), [pytest.param(*one, id="-".join(one)) for one in FAULTS])
def test_only_the_runs_at_fault_fail(tmp_path, how, when):
    (tmp_path / "own.py").write_text(MODEL)
    document = {
        "schema": "campaign/1",
        "name": "faults",
        "problem": {"name": "own.py:level", "how": how, "when": when},
        "engine": {"name": "trf"},
        "expand": {"grid": {"problem.k": {"range": [0, N, 1]}}},
        "execution": {"workers": 2, "max_failures": N},
        "block": 5,
        **({"timeout_s": 0.5} if how == "hang" else {}),
    }
    done = campaign("submit", write_manifest(tmp_path, document), "-d", tmp_path / "c", "-q")
    assert done.returncode == 4, done.stderr
    found = table(tmp_path / "c").to_pandas().set_index("problem.k")
    failed = found[found["status"] != "ok"]
    assert set(failed.index) == BAD
    assert set(failed["outcome"]) == {OUTCOMES[how]}
    assert found.drop(list(BAD))["theta.a"].tolist() == [k for k in range(N) if k not in BAD]
    if how == "raise":
        assert failed["message"].str.fullmatch(r"ValueError: the detector is off \(own\.py:\d+ in `misbehave`\)").all()
        assert "own.py" in campaign("show", tmp_path / "c", failed["run_id"].iloc[0]).stdout.partition("traceback:")[2]
    if how == "hang":
        assert failed["message"].str.contains(r"own\.py:\d+ in `misbehave`").all()
    assert campaign("verify", tmp_path / "c").returncode == 0
    assert json.loads(campaign("status", tmp_path / "c", "--json").stdout)["stages"][0]["n_failed"] == len(BAD)
