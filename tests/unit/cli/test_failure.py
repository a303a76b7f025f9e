"""Errors become `error:`, `hint:` and an exit code."""

import json

import click
import pytest

from campaign.cli import failure
from campaign.errors import (
    CampaignError,
    Damage,
    Diagnostic,
    Incomplete,
    InvalidValue,
    Locked,
    ManifestError,
    PolicyStop,
    Unavailable,
    UnknownName,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CampaignError("x"), 1),
        (RuntimeError("x"), 1),
        (UsageError("x"), 2),
        (click.UsageError("x"), 2),
        (InvalidValue("x"), 3),
        (UnknownName("x"), 3),
        (PolicyStop("x"), 5),
        (Unavailable("x"), 6),
        (NotADirectoryError(20, "Not a directory", "file/x"), 6),
        (Incomplete("x"), 7),
        (Locked("x"), 8),
        (Damage("x"), 9),
        (KeyboardInterrupt(), 130),
        (click.exceptions.Abort(), 130),
        (SystemExit(4), 4),
        (click.exceptions.Exit(7), 7),
    ],
)
def test_exit_code(error, code, capsys):
    assert failure.report(error, []) == code
    assert code in failure.EXIT_CODES


def test_error_and_hint_go_to_stderr_without_a_traceback(capsys):
    failure.report(UnknownName("unknown engine `trff`", hint="did you mean `trf`?"), [])
    captured = capsys.readouterr()
    assert captured.err == "error: unknown engine `trff`\nhint: did you mean `trf`?\n"
    assert captured.out == ""


def test_an_internal_error_says_how_to_see_more(capsys):
    failure.report(ZeroDivisionError("division by zero"), [])
    expected = "error: internal: ZeroDivisionError: division by zero\nhint: run again with --debug for the traceback\n"
    assert capsys.readouterr().err == expected


def test_debug_adds_the_traceback(capsys):
    try:
        raise InvalidValue("odd")
    except InvalidValue as error:
        failure.report(error, ["--debug"])
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert "error: odd" in captured.err


def test_a_manifest_shows_every_finding(capsys):
    found = [Diagnostic(place="/a", message="one", hint="mend it"), Diagnostic(place="", message="two")]
    assert failure.report(ManifestError(found, source="m.json"), []) == 3
    assert capsys.readouterr().err == "error: m.json: /a: one\nhint: mend it\nerror: m.json: /: two\n"


def test_many_findings_are_counted(capsys):
    found = [Diagnostic(place=f"/{i}", message="x") for i in range(100)]
    failure.report(ManifestError(found), [])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 31
    assert lines[-1] == "… and 70 more"


def test_json_puts_the_error_on_stdout_too(capsys):
    failure.report(Locked("held", hint="wait"), ["status", "--json"])
    assert json.loads(capsys.readouterr().out) == {
        "schema": "campaign.error/1",
        "exit_code": 8,
        "kind": "Locked",
        "errors": [{"message": "held", "hint": "wait"}],
    }


def test_no_color_and_pipes_have_no_colour(monkeypatch):
    class Terminal:
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert failure.wants_color(Terminal())
    assert not failure.wants_color(object())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not failure.wants_color(Terminal())
