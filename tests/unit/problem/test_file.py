"""A problem in a Python file next to the manifest."""

from __future__ import annotations

import json
import sys

import pytest

from campaign.errors import InvalidValue, ManifestError, UnknownName
from campaign.manifest.options import varying_options
from campaign.problem.file import load_file_problem, split_name
from campaign.schedule.check import open_manifest
from campaign.schedule.keeping import placed
from campaign.schedule.planning import plan_stage
from campaign.store.copies import keep
from campaign.store.inventory import walk
from campaign.store.layout import Layout
from campaign.work.planned_block import problem_plugin

SOURCE = '''
import equinox as eqx
import jax.numpy as jnp
from campaign.problem.base import Problem
from campaign.space import Parameter, ThetaSpace

class Line(Problem):
    space: ThetaSpace = eqx.field(static=True)
    slope: float

    def residuals(self, theta):
        return theta - self.slope

def build(slope: float = 2.0, n: int = 3):
    """A line."""
    return Line(space=ThetaSpace((Parameter(name="m", initial=0.0, lower=-5, upper=5),)), slope=slope)

def untyped(slope):
    return None

NUMBER = 3
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "line.py").write_text(SOURCE)
    return tmp_path


def manifest(folder, **keys):
    document = {
        "schema": "campaign/1",
        "name": "t",
        "problem": {"name": "line.py:build"},
        "engine": {"name": "trf"},
        "expand": {"grid": {"problem.slope": [1, 2], "problem.n": [3, 4], "start.m": [0, 1]}},
        **keys,
    }
    (folder / "m.json").write_text(json.dumps(document))
    return open_manifest(folder / "m.json")


def test_the_signature_becomes_the_options(folder):
    plugin = load_file_problem(folder / "line.py", "build")
    assert plugin.name == "line.py:build"
    assert plugin.description == "A line."
    assert varying_options(plugin.options) == {"slope"}
    problem = plugin.build(plugin.options(slope=1.5))
    assert problem.slope == 1.5
    assert problem.space.names == ("m",)


def test_plan_keeps_a_snapshot_and_its_hash_enters_the_id(folder):
    part = plan_stage(manifest(folder), "main")
    assert part.header["n_runs"] == 8
    assert len(part.header["programs"]) == 2
    module = next(iter(part.header["programs"].values()))["module"]
    assert module == {"file": str(folder / "line.py"), "folder": str(folder), "attribute": "build"}
    layout, kept = Layout(folder / "campaign"), manifest(folder).kept
    assert keep(layout, kept) == ()
    assert (layout.kept(kept.tree) / "line.py").read_bytes() == SOURCE.encode()
    module = next(iter(placed(part, layout, kept).header["programs"].values()))["module"]
    assert module["file"] == f"inputs/{kept.tree}/line.py"
    assert problem_plugin(layout.root, {"module": module}).name == "line.py:build"
    (folder / "line.py").write_text(SOURCE + "\n# changed\n")
    changed = plan_stage(manifest(folder), "main", previous=part)
    assert changed.header["n_new"] == 8


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("line.py:built", "did you mean `build`"),
        ("none.py:build", "is not in"),
        ("../line.py:build", "leaves its folder"),
        ("/x/line.py:build", "absolute"),
        ("line.py:untyped", "annotate every parameter"),
        ("line.py:NUMBER", "neither a ProblemPlugin nor a callable"),
        ("line.py:", "write `file.py:Name`"),
    ],
)
def test_findings(folder, name, message):
    with pytest.raises(ManifestError, match=message) as caught:
        manifest(folder, problem={"name": name})
    assert caught.value.diagnostics[0].place == "/problem/name"


def test_bounds_of_its_space_are_checked(folder):
    with pytest.raises(ManifestError, match=r"m = 6\.0 is out of bounds; valid: -5 to 5"):
        manifest(folder, expand={"grid": {"start.m": [0.0, 6.0]}})


def test_an_import_error_names_the_line(folder):
    (folder / "bad.py").write_text("x = 1\n\nraise RuntimeError('no')\n")
    with pytest.raises(InvalidValue, match=r"`bad\.py` line 3 cannot be imported: RuntimeError: no"):
        load_file_problem(folder / "bad.py", "x")


def test_names():
    assert split_name("a/b.py:C") == ("a/b.py", "C")
    with pytest.raises(InvalidValue):
        split_name("b.py")
    with pytest.raises(UnknownName):
        load_file_problem(__file__, "missing")


def test_the_import_of_a_problem_file_leaves_no_bytecode_and_bytecode_is_no_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    layout = Layout(tmp_path)
    file = tmp_path / "inputs" / "ab12" / "decay.py"
    file.parent.mkdir(parents=True)
    file.write_text("def make(x: float = 1.0):\n    return x\n")
    assert load_file_problem(file, "make").name == "decay.py:make"
    assert [path.name for path in file.parent.iterdir()] == ["decay.py"]
    assert sys.dont_write_bytecode is False
    (file.parent / "__pycache__").mkdir()
    (file.parent / "__pycache__" / "decay.cpython-311.pyc").touch()
    assert list(walk(layout)) == [("inputs/ab12/decay.py", False)]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("scale=0.0", "the scale 0.0 is not a positive number"),
        ("scale=-1.0", "the scale -1.0 is not a positive number"),
        ("scale=float('nan')", "the scale nan is not a positive number"),
        ("initial=9.0", "initial 9.0 is out of bounds"),
        ("initial=float('nan')", "initial nan is not a finite number"),
        ("initial=float('inf'), upper=float('inf')", "initial inf is not a finite number"),
        ("lower=float('nan')", "lower nan is not below upper 5"),
    ],
)
def test_a_parameter_that_cannot_be_is_named_with_its_file(folder, keys, reason):
    """By validation, as the manifest's own values are."""
    given = {name: name for name in ("initial", "lower", "upper") if name not in keys}
    values = {"initial": "initial=0.0", "lower": "lower=-5", "upper": "upper=5"}
    text = ", ".join([f'name="m", {keys}', *(values[name] for name in given)])
    (folder / "line.py").write_text(SOURCE.replace('name="m", initial=0.0, lower=-5, upper=5', text))
    with pytest.raises(ManifestError) as caught:
        manifest(folder)
    assert f"/problem: `line.py`: parameter `m`: {reason}" in str(caught.value)


def test_a_grid_that_leaves_the_bounds_is_told_before_anything_runs(folder):
    scan = {"name": "scan", "grid": {"m": {"linspace": [-6, 6, 13]}}}
    with pytest.raises(ManifestError, match=r"/engine: engine `scan`: the grid of `m` has -6\.0, out of bounds"):
        manifest(folder, engine=scan)
    manifest(folder, engine={"name": "scan", "grid": {"m": {"linspace": [-5, 5, 11]}}})
