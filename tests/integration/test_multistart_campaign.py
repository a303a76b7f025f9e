"""The multi-start of manifests/multistart.json against NIST's certified answer, and `campaign basins`."""

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

import campaign
from campaign.analysis.basins_stage import stage_basins
from campaign.cli.main import group
from campaign.errors import InvalidValue, UnknownName

MANIFEST = Path(__file__).parents[2] / "manifests" / "multistart.json"
CERTIFIED = 1.3158222432e03  # residual sum of squares of Gauss1

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("multistart") / "results"
    campaign.submit(MANIFEST, directory, executor="inline")
    return directory


def test_which_peak_is_the_first_one_is_nothing_that_data_say(directory):
    handle = campaign.open(directory)
    table = handle.runs(where='stage == "fit"')
    assert len(table) == 32
    (found,) = stage_basins(handle, "fit")
    best, other = found.basins.found[:2]
    assert best.chi2 == pytest.approx(CERTIFIED, rel=1e-9)
    assert other.chi2 == pytest.approx(CERTIFIED, rel=1e-9)
    swapped = {"b3": "b6", "b4": "b7", "b5": "b8", "b6": "b3", "b7": "b4", "b8": "b5", "b1": "b1", "b2": "b2"}
    for name, partner in swapped.items():
        assert abs(best.theta[name]) == pytest.approx(abs(other.theta[partner]), rel=1e-6)
    assert found.basins.rivals[:2] == (0, 1)
    assert all(basin.delta_chi2 > 100 for k, basin in enumerate(found.basins.found) if k not in found.basins.rivals)
    members = [run for basin in found.basins.found for run in basin.members]
    assert len(members) + len(found.basins.unsettled) == found.n_fits == 32
    assert len(set(members)) == len(members)


def test_the_best_three_are_refined(directory):
    table = campaign.open(directory).runs(where='stage == "refine"')
    assert table["metric.chi2"].tolist() == pytest.approx(3 * [CERTIFIED], rel=1e-10)


def test_the_command_says_it_in_text_and_json(directory):
    runner = CliRunner()
    text = runner.invoke(group, ["basins", str(directory), "--stage", "fit"], catch_exceptions=False).stdout
    assert "degenerate: the data cannot choose between basins 0, 1" in text
    found = json.loads(
        runner.invoke(group, ["basins", str(directory), "--stage", "fit", "--json"], catch_exceptions=False).stdout
    )
    assert found["schema"] == "campaign.basins/1"
    (problem,) = found["problems"]
    assert problem["problem"] == {"problem": "nist"}
    assert problem["basins"][0]["n_members"] == len(problem["basins"][0]["members"])
    assert math.isfinite(problem["basins"][0]["stderr"]["b4"])
    last = json.loads(runner.invoke(group, ["basins", str(directory), "--json"], catch_exceptions=False).stdout)
    assert last["problems"][0]["n_fits"] == 3


def test_stages_without_errors_or_that_do_not_exist_are_refused(directory):
    handle = campaign.open(directory)
    with pytest.raises(InvalidValue, match="no standard errors"):
        stage_basins(handle, "screen")
    with pytest.raises(UnknownName, match="unknown stage `fits`"):
        stage_basins(handle, "fits")
