"""What people's code printed while a run's block was computed, as commands show it."""

from __future__ import annotations

from typing import Any

from campaign.cli.output import write

LAST = 20  # lines


def printed(layout: Any, run: Any) -> str | None:
    """The log of a run's block; None where nothing was printed. Blocks of several runs have one log."""
    try:
        return layout.output(run.stage, run.part, run.block).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def show_printed(layout: Any, run: Any, text: str) -> None:
    """The last lines, and where the others are."""
    lines = text.rstrip().splitlines()
    write("printed while its block was computed:" + ("" if len(lines) <= LAST else f" (last {LAST} lines)"))
    for line in lines[-LAST:]:
        write(f"  {line}")
    write(f"log  {layout.output(run.stage, run.part, run.block)}")
