"""The `campaign` command: a group that knows its commands by name and imports one only when it is called."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, NoReturn

import click

from campaign import __version__
from campaign.cli.failure import EXIT_CODES, report

COMMANDS: dict[str, str] = {  # name: first line of its help; the module is campaign.cli.<name>
    "init": "Write a runnable folder to start from.",
    "validate": "Check a manifest and report everything that is wrong with it.",
    "plan": "Show exactly what a submission would do, without doing it.",
    "submit": "Run the campaign of a manifest, or what is new in it.",
    "resume": "Continue a campaign that was stopped.",
    "status": "Show how far a campaign is, and what failed.",
    "watch": "Show the status, redrawn until the campaign ends.",
    "pause": "Ask the driver of a campaign to pause.",
    "cancel": "Ask the driver of a campaign to stop.",
    "retry": "Run failed runs again.",
    "extend": "Give finished runs more steps.",
    "ls": "List runs.",
    "show": "Show everything known about one run.",
    "logs": "Show what happened: events, and messages of failed runs.",
    "basins": "Show which minima the fits of a stage ended in.",
    "query": "Query the summary table with SQL.",
    "evidence": "Compare models: ln Z of each, and ln B against the best.",
    "reweight": "Re-weight a posterior: other data, other priors.",
    "blind": "Make the key that shifts parameters until they are unblinded.",
    "unblind": "Show the true values of blinded parameters, and record that.",
    "reduce": "Update the summary table.",
    "export": "Write one run as plain files.",
    "report": "Draw a campaign: one page with its results and pictures.",
    "verify": "Check for damage, and repair it.",
    "doctor": "Check this machine: devices, file system, data files.",
    "schema": "Print the JSON Schema of manifests.",
    "engines": "List engines, or the options of one.",
    "problems": "List problems, or the options and parameters of one.",
}


PLUGINS = "campaign.commands"
MAY_CALL = frozenset(
    {"validate", "plan", "submit", "resume", "retry", "extend", "problems", "reweight"}
)  # people's own code
WORDS = "CAMPAIGN_WORDS"  # environment of a child: see `campaign.touching`


@cache
def _plugins() -> tuple[str, ...]:
    """Names of commands that installed packages bring. `registry.names` without its imports: help must be quick."""
    return tuple(sorted({entry.name for entry in entry_points(group=PLUGINS)}))


class LazyGroup(click.Group):
    """Commands by name: those of `campaign`, then those of the entry-point group ``campaign.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *(name for name in _plugins() if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            return import_module(f"campaign.cli.{cmd_name}").command
        if cmd_name not in _plugins():
            return None
        from campaign.registry import load

        return load(PLUGINS, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not name.startswith("-"):
            from campaign.errors import UsageError, nearest

            raise UsageError(
                f"unknown command `{name}`", hint=f"{nearest(name, self.list_commands(ctx))} See `campaign --help`."
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the names alone: nothing is imported for a list."""
        plugins = [(n, "(from an installed package)") for n in self.list_commands(ctx) if n not in COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items(), *plugins])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="campaign")
def group() -> None:
    """Ensembles of model fits, on a laptop or a cluster.

    A manifest (JSON) becomes runs, traces in Zarr and a Parquet table.

    \b
    campaign init decay first      a folder to start from
    campaign submit first/manifest.json -d first/results
    campaign status first/results
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _check_folder()
        result: Any = group.main(args=argv, prog_name="campaign", standalone_mode=False)
    except BaseException as error:
        return report(error, argv)
    return result if isinstance(result, int) else 0


def _check_folder() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        from campaign.errors import UsageError

        raise UsageError("the folder that this shell is in no longer exists", hint="`cd` to another one") from None


@cache
def _say_once(text: str) -> None:
    click.echo(f"warning: {text}", err=True)


def _show_warning(message: Warning | str, *_: object) -> None:
    _say_once(str(message))


def main() -> None:
    """Entry point. Warnings are one line each on stderr, without the place in the code."""
    warnings.showwarning = _show_warning
    _open_streams()
    argv = sys.argv[1:]
    if WORDS in os.environ:
        _leave(_run_for_parent())
    _leave(_run_in_child(argv) if argv and argv[0] in MAY_CALL and _calls_own_code(argv) else run())


def _open_streams() -> None:
    """Standard streams that were closed before this process began lead nowhere."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _calls_own_code(argv: Sequence[str]) -> bool:
    from campaign.cli.parent import is_needed

    return is_needed(argv)


def _run_in_child(argv: Sequence[str]) -> int:
    """The same command as a child of this process, which people's code cannot end."""
    from campaign.cli.parent import run_in_child

    try:
        return run_in_child(argv)
    except BaseException as error:
        return report(error, argv)


def _run_for_parent() -> int:
    """In that child."""
    from campaign.cli.interrupts import listen_to_parent
    from campaign.touching import listen, say_done

    listen()
    listen_to_parent()
    code = run()
    say_done(code)
    return code


def _leave(code: int) -> NoReturn:
    """Exit without taking JAX, Dask and Arrow down object by object, which takes longer than most commands (0.1 s).

    Files are published and contexts closed by now. Where MPI has started, its ranks part at a proper exit.
    """
    if "mpi4py.MPI" in sys.modules:
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader of our output is gone, or we closed it
            stream.flush()
    os._exit(code)
