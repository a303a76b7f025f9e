"""The best run of each model becomes its stored default, with where it comes from."""

from __future__ import annotations

import pytest

from campaign import defaults
from campaign.drive.publish import publish_defaults
from campaign.reduce.reducer import reduce
from planting import Planting, declare, failed, plant, publish, write_plan


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CAMPAIGN_DEFAULTS", str(tmp_path / "defaults"))


def published(tmp_path, planting, changes=None, programs=None):
    """Model → what is stored of it, after the stage has run."""
    layout = plant(tmp_path / "c", planting)
    if programs is not None:
        write_plan(layout, planting, planting.rows(), programs=programs)
    publish(layout, planting, changes=changes)
    reduce(layout)
    publish_defaults(layout, planting.stage)
    return {model: defaults.load(model) for model in defaults.models()}


def programs_of(planting, *models):
    entries = planting.header(planting.rows())["programs"]
    return {
        name: entry | {"problem": {"name": "decay", "model": m}} for (name, entry), m in zip(entries.items(), models)
    }


AXES = {"start.k": {"type": "float", "varying": True}, "problem.sigma": {"type": "float", "varying": True}}


class Sigma(Planting):
    """Run i has sigma = i / 10 in the plan; its model is an option of its program."""

    def rows(self):
        return [row | {"problem.sigma": i / 10} for i, row in enumerate(super().rows())]


def test_each_model_has_its_own_best_run(tmp_path):
    one = Sigma(n_runs=8, n_programs=2, axes=AXES)
    stored = published(
        tmp_path, one, {4: {"loss": 9.0}, 0: failed(outcome="timeout", loss=-1.0)}, programs_of(one, "a", "b")
    )
    assert {model: own.values for model, own in stored.items() if own} == {"a": {"k": 0.5}, "b": {"k": 2.5}}
    source = stored["b"].provenance
    assert (source["run_id"], source["loss"], source["loss_initial"]) == (one.run_id(5), 5.0, 100.0)
    assert (source["campaign"], source["stage"], source["engine"]) == ("planted", "fit", "trf")
    assert source["problem"] == {"name": "decay", "model": "b"}


def test_numbers_of_the_run_come_before_those_of_its_program(tmp_path):
    one = Sigma(n_runs=4, axes=AXES)
    (name,) = one.header(one.rows())["programs"]
    problem = {"name": "decay", "model": "a", "sigma": 7.0, "n": 5}
    entry = one.header(one.rows())["programs"][name] | {"problem": problem}
    stored = published(tmp_path, one, {0: {"loss": 50.0}, 1: {"loss": 50.0}}, {name: entry})
    assert stored["a"].provenance["problem"] == {"name": "decay", "model": "a", "sigma": 0.2, "n": 5}


def test_of_equal_losses_the_first_run_id_wins(tmp_path):
    one = Sigma(n_runs=6, axes=AXES)
    stored = published(tmp_path, one, {i: {"loss": 1.0} for i in range(6)}, programs_of(one, "a"))
    assert stored["a"].provenance["run_id"] == min(one.run_id(i) for i in range(6))


def test_a_problem_without_models_is_its_own(tmp_path):
    one = Sigma(n_runs=4, axes=AXES)
    (name,) = one.header(one.rows())["programs"]
    entry = one.header(one.rows())["programs"][name] | {"problem": {"name": "decay"}}
    assert published(tmp_path, one, programs={name: entry}).keys() == {"decay"}


def test_a_stage_of_which_nothing_ended_well_stores_nothing(tmp_path):
    one = Sigma(n_runs=2, axes=AXES)
    assert published(tmp_path, one, {0: failed(), 1: failed()}, programs_of(one, "a")) == {}


def test_a_parameter_that_is_fixed_in_the_winner_is_not_stored(tmp_path):
    one = Sigma(n_runs=2, axes=AXES)
    free = [{"name": name, "unit": "", "free": True, "description": ""} for name in ("k", "alpha")]
    layout = plant(tmp_path / "c", one)
    write_plan(layout, one, one.rows(), programs=programs_of(one, "a"))
    declare(layout, one, parameters=free)
    publish(layout, one, changes={0: {"theta": {"k": 3.0, "alpha": None}}})
    reduce(layout)
    publish_defaults(layout, "fit")
    assert defaults.load("a").values == {"k": 3.0}


def test_a_run_without_a_loss_is_not_the_best(tmp_path):
    """A chain may end well although the mean of its walkers, between two modes, has no finite likelihood."""
    one = Sigma(n_runs=4, n_programs=2, axes=AXES)
    stored = published(tmp_path, one, {i: {"loss": None} for i in (0, 2, 3)}, programs_of(one, "a", "b"))
    assert {model: own.values for model, own in stored.items() if own} == {"a": {"k": 0.5}}


class Some(Planting):
    """Every second run names its model; the others have that of their program."""

    def rows(self):
        return [row | {"problem.model": "own" if i % 2 else None} for i, row in enumerate(super().rows())]


def test_a_run_that_does_not_name_its_model_has_that_of_its_program(tmp_path):
    one = Some(n_runs=4, axes={"start.k": {"type": "float"}, "problem.model": {"type": "string", "varying": True}})
    stored = published(tmp_path, one, programs=programs_of(one, "base"))
    assert {model: own.provenance["run_id"] for model, own in stored.items() if own} == {
        "base": one.run_id(0),
        "own": one.run_id(1),
    }
