"""What the rows of a stage have in common, and the places of what is wrong with them."""

from __future__ import annotations

import json

import pytest

from campaign.errors import InvalidValue, ManifestError
from campaign.manifest.load import from_document
from campaign.manifest.points import expand
from campaign.schedule.resolve import ResolvedStage, resolve

ONE = {"schema": "campaign/1", "name": "t", "problem": {"name": "decay", "n": 5}, "engine": {"name": "trf"}}


def resolved(folder=".", load_defaults=None, **keys) -> ResolvedStage:
    manifest = from_document({**ONE, **keys}, folder=folder).manifest
    (stage,) = manifest.stages
    points = expand(stage)
    return resolve(manifest, stage, points.n, points.columns, problem=stage.problem or {}, load_defaults=load_defaults)


def test_structural_axes_make_groups_and_varying_ones_do_not():
    stage = resolved(expand={"grid": {"problem.n": [5, 6], "problem.sigma": [0.1, 0.2], "start.rate": [1, 2]}})
    assert [len(stage.groups.rows(k)) for k in range(2)] == [4, 4]
    one, other = stage.resolved
    assert (one.problem["n"], other.problem["n"]) == (5, 6)
    assert one.problem["sigma"] == 0.05  # the option's default: the values of the axis stand in the rows
    assert one.identity["problem"]["sigma"] == 0.1
    assert one.space.names == ("amplitude", "rate", "offset", "drift")


def test_rows_that_set_a_start_and_rows_that_do_not_are_two_groups():
    stage = resolved(include=[{"tag.a": 1}, {"start.rate": 2.0}])
    assert len(stage.groups) == 2


def test_both_ends_of_a_varying_axis_are_checked():
    with pytest.raises(ManifestError) as caught:
        resolved(expand={"grid": {"problem.sigma": {"linspace": [1.0, -1.0, 5]}}})
    assert [str(d.place) for d in caught.value.diagnostics] == ["/expand/grid/problem.sigma"]
    assert "-1" in caught.value.diagnostics[0].message


def test_findings_of_all_steps_and_groups_come_together():
    with pytest.raises(ManifestError) as caught:
        resolved(
            start={"rat": 1.0},
            scale={"rate": -1.0},
            engine={"name": "trf", "max_step": 3},
            expand={"grid": {"problem.n": [5, 0]}},
        )
    assert [d.place for d in caught.value.diagnostics] == [
        "/engine/max_step",
        "/start/rat",
        "/scale/rate",
        "/expand/grid/problem.n",
    ]


def test_a_file_that_is_nowhere_is_found_at_its_option(tmp_path):
    source = """
from typing import Annotated
from campaign.registry import DataFile
def build(data: Annotated[str, DataFile()] = "a.csv"):
    return None
"""
    (tmp_path / "p.py").write_text(source)
    with pytest.raises(ManifestError) as caught:
        resolved(tmp_path, problem={"name": "p.py:build", "data": "b.csv"})
    assert [d.place for d in caught.value.diagnostics] == ["/problem/data"]


def test_a_file_that_an_engine_reads_belongs_to_its_runs(tmp_path):
    (tmp_path / "rates.csv").write_text("parameter,lr_vec\namplitude,0.1\n")
    (one,) = resolved(tmp_path, engine={"name": "pgd", "lr_vec": "rates.csv"}).resolved
    assert one.inputs["rates.csv"]["path"] == str(tmp_path / "rates.csv")
    assert one.kept == {"rates.csv"}
    with pytest.raises(ManifestError) as caught:
        resolved(tmp_path, engine={"name": "pgd", "lr_vec": "others.csv"})
    assert [d.place for d in caught.value.diagnostics] == ["/engine/lr_vec"]


def test_rates_of_one_program_differ_and_vectors_of_other_parameters_are_found():
    assert len(resolved(engine={"name": "gd"}, expand={"grid": {"engine.base_lr": [0.1, 0.2]}}).groups) == 1
    with pytest.raises(ManifestError) as caught:
        resolved(engine={"name": "pgd", "lr_vec": {"rate": 1.0, "amplitude": 1.0}})
    assert "amplitude, rate, offset, drift" in caught.value.diagnostics[0].message


def test_an_option_that_is_not_used_is_no_part_of_a_run():
    """Run ids from before the option stay valid."""
    assert "theta_map" not in resolved().resolved[0].identity["engine"]
    mapped = resolved(engine={"name": "trf", "theta_map": {"truncate": 2}}).resolved[0]
    assert mapped.identity["engine"]["theta_map"]["truncate"] == 2


def test_the_space_is_asked_once_for_equal_structures(tmp_path):
    source = """
from pathlib import Path
from pydantic import Field
from campaign.registry import Options, ProblemPlugin, Varying
from campaign.space import Parameter, ThetaSpace
from typing import Annotated
class LineOptions(Options):
    n: Annotated[str, Varying()] = "a"
    d: int = 1
def space(options):
    with Path(__file__).with_name("asked.txt").open("a") as file:
        file.write(f"{options.d}\\n")
    return ThetaSpace(tuple(Parameter(name=f"x{i}", initial=0.0) for i in range(options.d)))
LINE = ProblemPlugin(name="line", version="1", options=LineOptions, build="nowhere:build", space=space)
"""
    (tmp_path / "p.py").write_text(source)
    stage = resolved(
        tmp_path,
        problem={"name": "p.py:LINE"},
        expand={"grid": {"problem.d": [1, 2], "problem.n": ["a", "b", "c"]}},
    )
    assert [one.space.names for one in stage.resolved] == [("x0",)] * 3 + [("x0", "x1")] * 3
    assert (tmp_path / "asked.txt").read_text().split() == ["1", "2"]


def test_a_problem_that_gathers_says_its_space(tmp_path):
    source = """
from campaign.registry import Options, ProblemPlugin
SUM = ProblemPlugin(name="sum", version="1", options=Options, build=lambda options, gathered: None, gather=("theta.*",))
"""
    (tmp_path / "p.py").write_text(source)
    with pytest.raises(ManifestError, match=r"/problem: `p\.py`: the problem `sum` reads other runs") as caught:
        resolved(tmp_path, problem={"name": "p.py:SUM"})
    assert caught.value.diagnostics[0].hint == "give its plug-in `space`"


def test_stored_defaults_that_are_not_there_are_a_finding():
    def nothing(model: str) -> dict[str, float]:
        raise InvalidValue(f"no defaults of `{model}`", hint="publish some")

    with pytest.raises(ManifestError) as caught:
        resolved(load_defaults=nothing, start={"from": "defaults"})
    assert [(d.place, d.message) for d in caught.value.diagnostics] == [("/start/from", "no defaults of `decay`")]
    assert json.dumps(resolved(load_defaults=lambda _: {"rate": 2.0}, start={"from": "defaults"}).resolved[0].start)
