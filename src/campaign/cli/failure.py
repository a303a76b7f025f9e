"""Errors as the user sees them: `error:`, `hint:`, an exit code, and no traceback unless asked for."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence

import click

from campaign.cli.output import wants_color, write_json
from campaign.errors import CampaignError, ManifestError, Unavailable

EXIT_CODES = {
    0: "done",
    1: "internal error",
    2: "usage: the command line is wrong",
    3: "the manifest, a name, a value or a data file is invalid",
    4: "finished, with failed runs",
    5: "stopped by the failure policy",
    6: "an executor, a device or the file system cannot be used",
    7: "incomplete: `campaign resume` continues",
    8: "another driver holds the campaign",
    9: "damage found on disk",
    130: "interrupted",
}
_MAX_SHOWN = 30  # findings of a manifest that are printed


def report(error: BaseException, argv: Sequence[str]) -> int:
    """Print an error on stderr and return its exit code. With ``--json`` an object goes to stdout as well."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, BrokenPipeError):
        _close_stdout()
        return 0
    code = _exit_code(error)
    if is_debug(argv) and not isinstance(error, click.exceptions.ClickException | click.exceptions.Abort):
        traceback.print_exception(error)
    findings = list(_findings(error))
    for message, hint in findings[:_MAX_SHOWN]:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {message}", err=True, color=wants_color(sys.stderr))
        if hint:
            click.echo(f"{click.style('hint:', fg='cyan')} {hint}", err=True, color=wants_color(sys.stderr))
    if len(findings) > _MAX_SHOWN:
        click.echo(f"… and {len(findings) - _MAX_SHOWN} more", err=True)
    if "--json" in argv:
        errors = [{"message": message, "hint": hint} for message, hint in findings]
        write_json("error", {"exit_code": code, "kind": type(error).__name__, "errors": errors})
    return code


def is_debug(argv: Sequence[str]) -> bool:
    return "--debug" in argv or bool(os.environ.get("CAMPAIGN_DEBUG"))


def _exit_code(error: BaseException) -> int:
    match error:
        case CampaignError():
            return error.exit_code
        case KeyboardInterrupt() | click.exceptions.Abort():
            return 130
        case click.exceptions.ClickException():
            return 2
        case OSError() if error.filename:
            return Unavailable.exit_code
        case _:
            return 1


def _findings(error: BaseException) -> Iterator[tuple[str, str | None]]:
    """(message, hint) of everything that an error reports."""
    match error:
        case ManifestError():
            for finding in error.diagnostics:
                yield f"{error.source}: {finding.place or '/'}: {finding.message}", finding.hint
        case CampaignError():
            yield error.message, error.hint
        case click.exceptions.UsageError():
            path = error.ctx.command_path if error.ctx else "campaign"
            yield _sentence(error.format_message()), f"see `{path} --help`"
        case click.exceptions.ClickException():
            yield _sentence(error.format_message()), None
        case KeyboardInterrupt() | click.exceptions.Abort():
            yield "interrupted", None
        case OSError() if error.filename:
            yield f"{error.filename}: {error.strerror}", None
        case _:
            text = " ".join(str(error).split())[:500]
            yield f"internal: {type(error).__name__}: {text}", "run again with --debug for the traceback"


def _sentence(text: str) -> str:
    return text[:1].lower() + text[1:].rstrip(".")


def _close_stdout() -> None:
    """The reader of our output is gone: say nothing more, also at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
