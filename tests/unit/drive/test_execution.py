"""Where runs execute: the manifest, changed by a profile, changed by arguments."""

from __future__ import annotations

import json

import pytest

from campaign.drive.execution import chosen_execution
from campaign.errors import UnknownName
from campaign.manifest.load import loads

BASE = {
    "schema": "campaign/1",
    "name": "t",
    "problem": {"name": "decay"},
    "engine": {"name": "trf"},
    "execution": {"executor": "dask", "workers": 3},
    "profiles": {"fast": {"executor": "inline"}},
}


def manifest(**changes):
    return loads(json.dumps(BASE | changes), source="t.json")


def chosen(executor=None, workers=None, profile=None, **changes):
    found = chosen_execution(manifest(**changes), executor, workers, profile)
    return found.executor, found.workers, found.profile


def test_arguments_come_before_a_profile_and_a_profile_before_the_manifest():
    assert chosen() == ("dask", 3, None)
    assert chosen(profile="fast")[0] == "inline"
    assert chosen(profile="fast", executor="dask")[0] == "dask"
    assert chosen(workers=5) == ("dask", 5, None)


def test_a_profile_that_the_manifest_does_not_know_may_be_a_clusters(tmp_path):
    assert chosen(profile="loopback") == ("dask", 3, "loopback")
    assert chosen(profile="mine.toml")[2] == "mine.toml"
    with pytest.raises(UnknownName, match="unknown profile `fats`") as caught:
        chosen(profile="fats")
    assert "fast" in caught.value.hint


@pytest.mark.parametrize("name", ["line.py:Line", "decay"])
@pytest.mark.parametrize(("asked", "executor"), [(None, "auto"), ("auto", "dask"), ("inline", "dask")])
def test_auto_does_not_run_peoples_own_code_in_the_driver(name, asked, executor):
    """A model that crashes or hangs must not take the driver along; who asks for `inline` gets it."""
    is_own = name != "decay"
    found = chosen(asked, problem={"name": name}, execution={"executor": executor})[0]
    assert found == (asked if asked == "inline" else "dask" if is_own else "auto")


def test_no_to_a_preflight_is_an_answer():
    own = manifest(execution={"preflight": True})
    assert chosen_execution(own, None, None, None).preflight is True
    assert chosen_execution(own, None, None, None, preflight=False).preflight is False


def test_a_profile_of_the_manifest_comes_before_a_clusters_of_that_name():
    found = chosen_execution(manifest(profiles={"loopback": {"workers": 9}}), None, None, "loopback")
    assert (found.executor, found.workers, found.profile) == ("dask", 9, None)
