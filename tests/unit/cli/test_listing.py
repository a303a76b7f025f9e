"""`engines`, `problems`, `schema`, `init`: what needs no campaign."""

import json

import pytest

from campaign.cli.init import TEMPLATES
from campaign.cli.main import run


def printed(capsys, *arguments, code=0):
    assert run(list(arguments)) == code
    return capsys.readouterr()


def test_engines_are_listed(capsys):
    document = json.loads(printed(capsys, "engines", "--json").out)
    assert document["schema"] == "campaign.engines/1"
    assert {"trf", "evaluate", "ensemble"} <= {engine["name"] for engine in document["engines"]}
    assert all(engine["error"] is None for engine in document["engines"])


def test_options_of_an_engine_say_type_default_and_range(capsys):
    document = json.loads(printed(capsys, "engines", "ensemble", "--json").out)
    options = {option["name"]: option for option in document["options"]}
    assert options["walkers"] == {
        "name": "walkers",
        "type": "integer | null",
        "required": False,
        "default": None,
        "valid": "≥ 4, ≤ 2,147,483,647, multiple of 2",
        "varying": False,
        "description": "number of walkers, even, at least twice the parameters; null: that, or 32 if more",
    }
    assert options["spread"]["varying"] is True  # a float that is not marked Structural
    assert options["burn_in"]["varying"] is False  # a float that is


def test_parameters_of_a_problem(capsys):
    document = json.loads(printed(capsys, "problems", "decay", "--json").out)
    assert [(p["name"], p["unit"], p["initial"]) for p in document["parameters"]] == [
        ("amplitude", "", 1.0),
        ("rate", "1/s", 1.0),
        ("offset", "", 0.0),
        ("drift", "1/s", 0.0),
    ]
    assert "rate       1/s" in printed(capsys, "problems", "decay").out


def test_parameters_follow_options(capsys):
    document = json.loads(printed(capsys, "problems", "gaussian", "--set", "d=5", "--json").out)
    assert [p["name"] for p in document["parameters"]] == ["x0", "x1", "x2", "x3", "x4"]


def test_a_wrong_option_is_an_error(capsys):
    error = printed(capsys, "problems", "gaussian", "--set", "d=0", code=3).err
    assert "greater than or equal to 1" in error
    assert "not of the form OPTION=VALUE" in printed(capsys, "problems", "gaussian", "--set", "d", code=2).err


@pytest.mark.parametrize(("command", "kind"), [("engines", "engine"), ("problems", "problem")])
def test_an_unknown_plugin_names_the_nearest(capsys, command, kind):
    assert f"unknown {kind} `nonesuch`" in printed(capsys, command, "nonesuch", code=3).err


def test_schema_of_a_plugin(capsys):
    document = json.loads(printed(capsys, "schema", "trf").out)
    assert document["additionalProperties"] is False
    assert "max_steps" in document["properties"]


def test_templates_are_listed_and_written(capsys, tmp_path):
    assert json.loads(printed(capsys, "init", "--json").out)["templates"] == TEMPLATES
    for template in TEMPLATES:
        folder = tmp_path / template
        printed(capsys, "init", template, str(folder))
        assert json.loads((folder / "manifest.json").read_text())["schema"] == "campaign/1"
    assert (tmp_path / "file" / "line.py").exists()


def test_init_overwrites_nothing(capsys, tmp_path):
    printed(capsys, "init", "decay", str(tmp_path))
    (tmp_path / "manifest.json").write_text("mine")
    assert "exists" in printed(capsys, "init", "decay", str(tmp_path), code=2).err
    assert (tmp_path / "manifest.json").read_text() == "mine"


def test_an_unknown_template_names_the_nearest(capsys):
    assert "did you mean `decay`?" in printed(capsys, "init", "decy", code=3).err
