"""Before the thousands go out one run is tried alone: a model that always fails stops the campaign, others do not."""

from __future__ import annotations

import json

import pytest

from running import campaign, table, write_manifest

MODEL = """
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from campaign.science import Parameter, Problem, ThetaSpace


class Level(Problem):
    space: ThetaSpace = eqx.field(static=True)
    every: int = eqx.field(static=True)
    y: jax.Array

    def residuals(self, theta):
        def look(y):
            if int(y) % self.every == 0:
                raise ValueError("the detector is off")
            return np.float64(0.0)

        nothing = jax.pure_callback(look, jax.ShapeDtypeStruct((), float), self.y, vmap_method="sequential")
        return theta[:1] - self.y + nothing


def level(y: float = 0.0, every: int = 1) -> Level:
    return Level(ThetaSpace((Parameter(name="a", initial=1.0),)), every, jnp.asarray(y))
"""


def submit(folder, every, n, **execution):
    (folder / "own.py").write_text(MODEL)
    document = {
        "schema": "campaign/1",
        "name": "pre",
        "problem": {"name": "own.py:level", "every": every},
        "engine": {"name": "trf"},
        "expand": {"grid": {"problem.y": {"range": [0, n, 1]}}},
        "execution": {"executor": "inline", "max_failures": "unlimited", **execution},
    }
    return campaign("submit", write_manifest(folder, document), "-d", folder / "c", "-q")


def events(folder):
    lines = [line for path in (folder / "c" / "events").iterdir() for line in path.read_text().splitlines()]
    return [event for event in map(json.loads, lines) if event["event"] == "preflight"]


def test_a_model_that_always_fails_stops_the_campaign_before_it_begins(tmp_path):
    done = submit(tmp_path, 1, 100)
    assert done.returncode == 5, done.stderr
    assert "ValueError: the detector is off (own.py:" in done.stderr
    assert "the 100 runs are not started" in done.stderr
    assert "--no-preflight" in done.stderr
    assert len(events(tmp_path)) == 3
    assert not list((tmp_path / "c" / "summaries").rglob("*.jsonl"))


@pytest.mark.long
def test_one_guilty_run_at_the_front_stops_nothing(tmp_path):
    done = submit(tmp_path, 10, 11, preflight=True)  # runs 0 and 10 fail, 5 does not
    assert done.returncode == 4, done.stderr
    assert [bool(event["reason"]) for event in events(tmp_path)] == [True, False]
    assert table(tmp_path / "c").column("status").to_pylist().count("ok") == 9


def test_few_runs_or_a_word_make_it_go_without(tmp_path):
    done = submit(tmp_path, 1, 3)
    assert done.returncode == 4, done.stderr
    assert events(tmp_path) == []


def test_a_program_that_always_fails_stops_the_campaign_before_it_begins(tmp_path):
    (tmp_path / "model.sh").write_text("#!/bin/sh\necho 'no such star' >&2\nexit 3\n")
    (tmp_path / "model.sh").chmod(0o755)
    document = {
        "schema": "campaign/1",
        "name": "pre",
        "problem": {
            "name": "program",
            "command": ["./model.sh", "{rate}"],
            "parameters": {"rate": {"initial": 1.0}},
        },
        "engine": {"name": "evaluate"},
        "expand": {"grid": {"start.rate": {"range": [0, 100, 1]}}},
        "execution": {"executor": "inline", "max_failures": "unlimited"},
    }
    done = campaign("submit", write_manifest(tmp_path, document), "-d", tmp_path / "c", "-q")
    assert done.returncode == 5, done.stderr
    assert "exit status 3" in done.stderr
    assert "no such star" in done.stderr
    assert "the 100 runs are not started" in done.stderr
