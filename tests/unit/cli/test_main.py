"""The command line as a whole: what it imports, its help, unknown names."""

import json
import subprocess
import sys

import click
import pytest

from campaign.cli.main import COMMANDS, group, run

HEAVY = ("jax", "equinox", "dask", "distributed", "pandas", "zarr", "pyarrow", "numpy", "scipy", "rich", "pydantic")


def modules_after(*arguments):
    """Names of the heavy modules that a command line has imported."""
    program = f"""
import json, sys
from campaign.cli.main import run
code = run({list(arguments)!r})
heavy = sorted(m for m in sys.modules if m.partition(".")[0] in {HEAVY!r})
sys.stderr.write("\\n" + json.dumps([code, heavy]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    return json.loads(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["submit", "--help"], ["status", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    assert modules_after(*arguments) == [0, []]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_imports_jax_or_dask_for_its_help(name):
    code, heavy = modules_after(name, "--help")
    assert code == 0
    assert not {m.partition(".")[0] for m in heavy} & {"jax", "dask", "distributed", "pandas", "zarr", "pyarrow"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name):
    context = click.Context(group)
    command = group.get_command(context, name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(200) == COMMANDS[name]
    assert f"campaign {name}" in command.help
    flags = {flag for parameter in command.params for flag in parameter.opts}
    assert "--debug" in flags
    assert "--json" in flags


def test_an_unknown_command_names_the_nearest(capsys):
    assert run(["stauts"]) == 2
    assert "did you mean `status`?" in capsys.readouterr().err


def test_an_unknown_option_names_the_help(capsys):
    assert run(["init", "--jsn"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: no such option '--jsn'")
    assert "hint: see `campaign init --help`" in captured.err


def test_help_lists_commands_and_exit_codes(capsys):
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for name, what in COMMANDS.items():
        assert f"  {name}" in text
        assert what in text
    assert "7    incomplete" in text


def test_completion_knows_the_commands():
    completion = subprocess.run(
        [sys.executable, "-m", "campaign"],
        env={"_CAMPAIGN_COMPLETE": "bash_complete", "COMP_WORDS": "campaign st", "COMP_CWORD": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "plain,status" in completion.stdout.splitlines()


def test_a_folder_that_is_gone_is_an_error_of_its_own(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run(["ls", "../c"]) == 2
    assert "no longer exists" in capsys.readouterr().err
