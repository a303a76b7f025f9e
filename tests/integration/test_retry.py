"""Typed retry: runs are tried again by how they ended, with more time or more steps; what is lost is no attempt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

from campaign.drive.doors import resume, retry, submit
from campaign.errors import ManifestError, UnknownName
from campaign.store.events import read_events
from campaign.store.layout import Layout
from running import assert_same, campaign, here, table, write_manifest

VALLEY: dict[str, Any] = {  # eight fits of Rosenbrock's function, which take trf between 10 and 30 steps
    "schema": "campaign/1",
    "name": "valley",
    "problem": {"name": "rosenbrock"},
    "engine": {"name": "trf", "chunk_steps": 1},
    "expand": {"grid": {"start.x0": [-1.5, -1.2, -0.9, -0.6], "start.x1": [-0.5, 2.0]}},
    "block": 4,
    "execution": {"executor": "inline", "layout": "directories"},
}
MOODY = '''
"""r = x − number: moody about number 3. What it does is a file's content, and the file is gone after once."""
import os, signal
from pathlib import Path
import equinox as eqx, jax, jax.numpy as jnp
import numpy as np
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace

MOOD = Path({folder!r}) / "mood"


@jax.custom_jvp
def moody(number):
    return jax.pure_callback(_act, jax.ShapeDtypeStruct((), jnp.float64), number, vmap_method="sequential")


@moody.defjvp
def _(primals, tangents):
    return moody(*primals), tangents[0]


def _act(number):
    if int(number) == 3 and MOOD.exists():
        mood = MOOD.read_text()
        if mood != "die always":
            MOOD.unlink()
        if mood.startswith("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError(mood)
    return np.asarray(number, np.float64)


class Moody(Problem):
    space: ThetaSpace = eqx.field(static=True)
    number: jax.Array

    def __init__(self, number: float = 0.0):
        self.space = ThetaSpace((Parameter(name="x", initial=0.5),))
        self.number = jnp.asarray(number)

    def residuals(self, theta):
        return jnp.stack([theta[0] - moody(self.number)])
'''


def valley(folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    return write_manifest(folder, VALLEY | changes)


def results(directory: Path) -> pandas.DataFrame:
    return pandas.read_parquet(directory / "tables" / "summary.parquet")


def retried(directory: Path) -> list[tuple[str, int]]:
    return [(e["kind"], e["n_runs"]) for e in read_events(Layout(directory)) if e["event"] == "retried"]


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> Path:
    """The same fits with all the steps and all the time that they need."""
    folder = tmp_path_factory.mktemp("calm")
    assert submit(valley(folder), folder / "c").state == "done"
    return folder / "c"


# --- more time --------------------------------------------------------------------------------------------------------


def test_without_retry_a_run_out_of_time_has_failed_where_it_stood(tmp_path, calm):
    report = submit(valley(tmp_path, timeout_s=1e-6), tmp_path / "c")  # up after the first chunk, which is one step
    assert (report.state, report.stages[0].n_failed) == ("failed", 8)
    found = results(tmp_path / "c")
    assert set(found["outcome"]) == {"timeout"}
    assert set(found["n_steps"]) == {1}
    assert found["message"].str.contains("timeout_s").all()
    assert (found["run_id"] == results(calm)["run_id"]).all()  # a time limit is no part of what a run is
    assert (found["loss"] <= found["loss_initial"]).all()
    status = json.loads(here("status", tmp_path / "c", "--json").stdout)
    assert [failure["n"] for failure in status["failures"]] == [8]


def test_a_run_out_of_time_gets_more_at_its_retry(tmp_path, calm):
    rule = {"timeout": {"times": 3, "factor": 1000}}
    report = submit(valley(tmp_path, timeout_s=1e-6, retry=rule), tmp_path / "c")  # then a millisecond, then a second …
    assert report.state == "done"
    found = results(tmp_path / "c")
    assert found["attempt"].between(1, 3).all()
    assert retried(tmp_path / "c")[0] == ("timeout", 8)
    expected = results(calm)
    for name in ("run_id", "outcome", "theta.x0", "theta.x1", "loss", "n_steps", "stderr.x0"):
        assert (found[name] == expected[name]).all(), name
    status = json.loads(here("status", tmp_path / "c", "--json").stdout)
    assert status["retried"] == {"timeout": sum(n for _, n in retried(tmp_path / "c"))}
    assert "retried" in here("status", tmp_path / "c").stdout
    assert here("verify", tmp_path / "c").returncode == 0


def test_a_retry_by_hand_gives_more_time_too(tmp_path):
    submit(valley(tmp_path, timeout_s=1e-2), tmp_path / "a")
    submit(valley(tmp_path, timeout_s=1e-6), tmp_path / "c")
    assert retry(tmp_path / "c", [], kinds=["error"]) == 0
    done = campaign("retry", tmp_path / "c", "--kind", "timeout", "--factor", "2")  # far too little still
    assert done.returncode == 4, done.stderr
    assert set(results(tmp_path / "c")["attempt"]) == {1}
    header = json.loads(Layout(tmp_path / "c").plan_header("main", 1).read_text())
    assert [entry["timeout_s"] for entry in header["programs"].values()] == [2e-6]
    with pytest.raises(UnknownName, match="did you mean `timeout`"):
        retry(tmp_path / "c", [], kinds=["timout"])


# --- more steps -------------------------------------------------------------------------------------------------------


def test_runs_that_did_not_converge_get_more_steps_if_the_manifest_asks(tmp_path, calm):
    few = {"name": "trf", "chunk_steps": 1, "max_steps": 3}
    assert submit(valley(tmp_path / "never", engine=few), tmp_path / "never" / "c").state == "done"
    assert set(results(tmp_path / "never" / "c")["outcome"]) == {"budget"}
    assert retried(tmp_path / "never" / "c") == []

    rule = {"nonconverged": {"times": 2, "factor": 3.5}}  # 3, then 11, then 39 steps
    assert submit(valley(tmp_path / "more", engine=few, retry=rule), tmp_path / "more" / "c").state == "done"
    found, expected = results(tmp_path / "more" / "c"), results(calm)
    assert (found["run_id"] == results(tmp_path / "never" / "c")["run_id"]).all()
    assert set(found["outcome"]) == {"converged"}
    n_steps = expected["n_steps"]
    assert (found["attempt"] == (n_steps > 3).astype(int) + (n_steps > 11)).all()
    assert (found["theta.x0"] == expected["theta.x0"]).all()
    assert (found["n_steps"] == n_steps).all()
    last = found.loc[found["attempt"].idxmax()]
    meta = json.loads((tmp_path / "more" / "c" / "runs" / last["run_id"] / "meta.json").read_text())
    assert meta["engine"]["max_steps"] == {1: 11, 2: 39}[last["attempt"]]

    n_events = len(retried(tmp_path / "more" / "c"))
    assert resume(tmp_path / "more" / "c").state == "done"  # what has been tried often enough stays
    assert len(retried(tmp_path / "more" / "c")) == n_events


def test_a_sampler_whose_walkers_have_not_mixed_gets_more_steps(tmp_path):
    """Gaussian of unit errors around 3; 200 updates are a few autocorrelation times, 12,800 are hundreds."""
    document = {
        "schema": "campaign/1",
        "name": "sampled",
        "problem": {"name": "gaussian", "mean": 3.0, "correlation": 0.0},
        "engine": {"name": "ensemble", "walkers": 8, "steps": 200, "thin": 5},
        "retry": {"nonconverged": {"times": 1, "factor": 64}},
    }
    few = {name: value for name, value in document.items() if name != "retry"}
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(few))
    assert submit(path, tmp_path / "few", executor="inline").state == "done"
    before = results(tmp_path / "few").iloc[0]
    assert before["outcome"] == "budget"
    assert "autocorrelation times long" in before["message"]
    path.write_text(json.dumps(document))
    assert submit(path, tmp_path / "more", executor="inline").state == "done"
    after = results(tmp_path / "more").iloc[0]
    assert (after["outcome"], after["attempt"]) == ("converged", 1)
    assert pandas.isna(after["message"])
    assert after["run_id"] == before["run_id"]
    assert after["n_steps"] == 64 * before["n_steps"] == 2560
    assert after["metric.rhat_max"] < 1.05
    assert after["theta.x0"] == pytest.approx(3.0, abs=0.2)


def test_tries_are_bounded(tmp_path):
    few = {"name": "trf", "chunk_steps": 1, "max_steps": 1}
    rule = {"nonconverged": {"times": 2, "factor": 1}}
    assert submit(valley(tmp_path, engine=few, retry=rule), tmp_path / "c").state == "done"
    assert retried(tmp_path / "c") == [("nonconverged", 8), ("nonconverged", 8)]
    assert set(results(tmp_path / "c")["attempt"]) == {2}
    done = campaign("retry", tmp_path / "c", "--kind", "nonconverged", "--factor", "100", "-q")
    assert done.returncode == 0, done.stderr
    assert set(results(tmp_path / "c")["outcome"]) == {"converged"}


# --- other endings, and losses ----------------------------------------------------------------------------------------


def moody(folder: Path, mood: str, **changes: Any) -> Path:
    (folder / "mood").write_text(mood)
    (folder / "moody.py").write_text(MOODY.format(folder=str(folder)))
    document = {
        "schema": "campaign/1",
        "name": "moody",
        "problem": {"name": "moody.py:Moody"},
        "engine": {"name": "trf"},
        "expand": {"grid": {"problem.number": {"range": [1, 7, 1]}}},
        "block": 1,
        "execution": {"executor": "inline", "layout": "packed"},
    }
    return write_manifest(folder, document | changes)


@pytest.mark.parametrize(
    ("mood", "rule", "kind"),
    [
        ("no luck", 1, "error"),
        ("no luck", {"error": 1}, "error"),
        ("no luck", {"oom": 3, "nonfinite": 3}, None),
        ("RESOURCE_EXHAUSTED: no memory", {"oom": 1}, "oom"),
        ("RESOURCE_EXHAUSTED: no memory", {"error": 3}, None),
        ("no luck", 0, None),
    ],
)
def test_each_ending_has_its_own_count(tmp_path, mood, rule, kind):
    report = submit(moody(tmp_path, mood, retry=rule), tmp_path / "c")
    found = results(tmp_path / "c").set_index("problem.number")
    assert found.loc[3, "attempt"] == (kind is not None)
    assert found["attempt"].sum() == found.loc[3, "attempt"]
    assert report.state == ("done" if kind else "failed")
    assert retried(tmp_path / "c") == ([(kind, 1)] if kind else [])


def test_a_lost_worker_is_no_attempt_of_its_runs(tmp_path):
    """Its block runs again, though the manifest allows no retry; nothing of it enters the table."""
    (tmp_path / "calm").mkdir()
    calm = moody(tmp_path / "calm", "")
    (tmp_path / "calm" / "mood").unlink()
    assert submit(calm, tmp_path / "calm" / "c").state == "done"
    done = campaign("submit", moody(tmp_path, "die"), "-d", tmp_path / "c", "-e", "dask", "-w", "1")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mood").exists()
    assert any(e["event"] == "block_lost" for e in read_events(Layout(tmp_path / "c")))
    assert retried(tmp_path / "c") == []
    assert set(results(tmp_path / "c")["attempt"]) == {0}
    one, other = table(tmp_path / "c"), table(tmp_path / "calm" / "c")
    assert_same(
        one.drop_columns(["run_id", "program"]), other.drop_columns(["run_id", "program"])
    )  # the file's content is part of the id


def test_a_run_that_kills_its_worker_every_time_does_not_keep_its_neighbours(tmp_path):
    """The block that is lost is split until the guilty run is alone, which has failed; none has used a try."""
    file = moody(tmp_path, "die always", block=6)
    done = campaign("submit", file, "-d", tmp_path / "c", "-e", "dask", "-w", "1")
    assert done.returncode == 4, done.stderr
    found = results(tmp_path / "c").set_index("problem.number")
    assert found["status"].tolist() == ["ok", "ok", "failed", "ok", "ok", "ok"]
    assert found["outcome"].tolist()[2] == "lost"
    assert "lost 4 times" in found["message"].tolist()[2]
    assert set(found["attempt"]) == {0}
    (tmp_path / "mood").unlink()
    assert campaign("retry", tmp_path / "c", "--kind", "lost").returncode == 0
    assert campaign("resume", tmp_path / "c", "-e", "inline").returncode == 0
    assert set(results(tmp_path / "c")["status"]) == {"ok"}


# --- the manifest -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "place", "text"),
    [
        ({"retry": {"timout": 1}}, "/retry/timout", "did you mean `timeout`"),
        ({"retry": {"timeout": 1}}, "/retry/timeout", "`timeout` needs `timeout_s`"),
        ({"retry": {"error": {"factor": 2}}}, "/retry/error/factor", "unknown key `factor`"),
        ({"retry": -1}, "/retry", "-1 is not valid here"),
        ({"retry": 101}, "/retry", "101 is not valid here"),
        ({"retry": {"nonconverged": {"factor": 0.5}}}, "/retry/nonconverged/factor", "0.5 is not a factor"),
        ({"retry": {"error": True}}, "/retry/error", "true is not valid here"),
        ({"timeout_s": 0}, "/timeout_s", "greater than 0"),
        (
            {"engine": {"name": "evaluate"}, "retry": {"nonconverged": 1}},
            "/retry/nonconverged",
            "the engine `evaluate` has no number of steps",
        ),
    ],
)
def test_mistakes_have_places(tmp_path, changes, place, text):
    with pytest.raises(ManifestError) as caught:
        submit(valley(tmp_path, **changes), tmp_path / "c")
    (finding,) = caught.value.diagnostics
    assert finding.place == place
    assert text in f"{finding.message} {finding.hint}"
    assert not (tmp_path / "c").exists()
