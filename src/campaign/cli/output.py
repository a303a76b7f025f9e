"""How commands print: data on stdout, as aligned text or as one JSON object; talk on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

_GAP = "  "


class Command(click.Command):
    """A command with the options that all commands share."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
        )


def command(name: str) -> Callable[[Callable[..., Any]], Command]:
    """Decorator: a `Command` of that name."""
    return click.command(name, cls=Command)


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")

campaign_argument = click.argument(
    "directory", metavar="DIRECTORY", type=click.Path(exists=True, file_okay=False, path_type=None), default="."
)


def wants_color(stream: object) -> bool:
    """Colour on a terminal, unless NO_COLOR is set."""
    return not os.environ.get("NO_COLOR") and bool(getattr(stream, "isatty", lambda: False)())


def write_json(name: str, payload: Mapping[str, Any]) -> None:
    """One JSON object on stdout, with its schema. NaN and infinity become null."""
    from campaign.store.records import dumps_pretty

    _put(dumps_pretty({"schema": f"campaign.{name}/1", **payload}))


def write_json_line(name: str, payload: Mapping[str, Any]) -> None:
    """The same on one line, for commands that write several."""
    from campaign.store.records import dumps

    _put(dumps({"schema": f"campaign.{name}/1", **payload}) + b"\n")


def _put(text: bytes) -> None:
    sys.stdout.write(text.decode())
    sys.stdout.flush()


@contextlib.contextmanager
def guarded_stdout() -> Iterator[None]:
    """While people's code may run: what it prints goes to stderr, from this process and from those it starts.

    Standard output is for our data: `--json` is one JSON object whatever a problem file prints.
    """
    sys.stdout.flush()
    try:
        ours = os.dup(1)
    except OSError:  # closed: there is nothing to guard
        yield
        return
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(ours, 1)
        os.close(ours)


def write(text: str = "") -> None:
    """A line of data on stdout."""
    click.echo(text, color=wants_color(sys.stdout))


def talk(text: str) -> None:
    """A line for people on stderr."""
    click.echo(text, err=True, color=wants_color(sys.stderr))


def strong(text: str) -> str:
    return click.style(text, bold=True)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Iterable[int] = ()) -> str:
    """Aligned columns, two spaces apart.

    Args:
        header: column titles.
        rows: cells; None is printed as nothing.
        right: indices of columns that are aligned to the right.
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max([len(title), *(len(row[i]) for row in cells)]) for i, title in enumerate(header)]
    to_right = frozenset(right)

    def line(row: Sequence[str]) -> str:
        fitted = (
            cell.rjust(width) if i in to_right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return _GAP.join(fitted).rstrip()

    return "\n".join([strong(line(header)), *(line(row) for row in cells)])


def pairs(items: Iterable[tuple[str, Any]]) -> str:
    """`name  value` lines with aligned values; entries that are None are left out."""
    kept = [(name, str(value)) for name, value in items if value is not None]
    width = max((len(name) for name, _ in kept), default=0)
    return "\n".join(f"{name.ljust(width)}{_GAP}{value}" for name, value in kept)
