"""`campaign status`: how far it is, and what failed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from campaign.cli.numbers import count, counted, duration, rate
from campaign.cli.output import campaign_argument, json_option, pairs, strong, table, write, write_json
from campaign.cli.output import command as new_command

if TYPE_CHECKING:
    from campaign.analysis.status import Status
    from campaign.store.layout import Layout
    from campaign.store.stop import StopRequest

_MAX_FAILURES = 10


@new_command("status")
@campaign_argument
@json_option
def command(directory: str, as_json: bool) -> None:
    """Show how far a campaign is, and what failed.

    Reads the plan, one directory listing a stage and the journals: under a second for a million runs.

    \b
    Example:
      campaign status results/first
      campaign status results/first --json
    """
    from campaign.analysis.handle import open_campaign

    handle = open_campaign(directory)
    status = handle.status()
    if as_json:
        write_json("status", status_document(status, handle.layout))
    else:
        write(render(status, directory))


def status_document(status: Status, layout: Layout) -> dict[str, Any]:
    """A status as JSON, without its schema."""
    return {"directory": str(layout.root), **{k: v for k, v in status.to_json().items() if k != "schema"}}


def _asked(request: StopRequest | None) -> str | None:
    if request is None:
        return None
    ago = duration(max(0.0, time.time() - request.asked_at))
    return f"{request.mode}, {ago} ago, by {request.by or 'somebody'}: {request.reason}"


def render(status: Status, directory: str) -> str:
    """A status as text."""
    header = ("stage", "runs", "ok", "failed", "pending", "blocks", "running")
    rows = [
        (
            stage.name,
            count(stage.n_runs),
            count(stage.n_ok),
            count(stage.n_failed),
            count(stage.n_pending),
            f"{count(stage.n_blocks_done)}/{count(stage.n_blocks)}",
            count(stage.n_blocks_running),
        )
        for stage in status.stages
    ]
    n_alive = sum(worker.is_alive for worker in status.workers)
    gangs = f", {count(status.ranks_per_block)} processes each" if status.ranks_per_block > 1 else ""
    facts = [
        ("state", strong(status.state)),
        ("ended", status.ended.replace("\n", "\n" + " " * 10) if status.ended else None),
        ("rate", rate(status.rate) if status.rate else None),
        ("ETA", duration(status.eta_s) if status.eta_s is not None else None),
        ("driver", str(status.driver) + (" (gone)" if status.driver.is_stale else "") if status.driver else None),
        ("asked to", _asked(status.asked)),
        ("executor", status.executor),
        ("workers", f"{n_alive} at work, {len(status.workers)} seen{gangs}" if status.workers else None),
        (
            "compiled",
            f"{counted(status.n_compiles, 'time')}, {duration(status.compile_s)}" if status.n_compiles else None,
        ),
        ("lost", f"{counted(status.n_blocks_lost, 'block')}, run again" if status.n_blocks_lost else None),
        ("twice", f"{counted(status.n_blocks_twice, 'block')}, harmless" if status.n_blocks_twice else None),
        ("retried", ", ".join(f"{count(n)} {kind}" for kind, n in sorted(status.retried.items())) or None),
    ]
    parts = [table(header, rows, right=range(1, 7)), "", pairs(facts)]
    if status.failures:
        parts += ["", strong("failures")]
        for failure in status.failures[:_MAX_FAILURES]:
            parts.append(f"  {count(failure.n)} × {failure.stage}: {failure.message or failure.signature}")
            parts.append(f"      first: campaign show {directory} {failure.run_id[:12]}")
        if len(status.failures) > _MAX_FAILURES:
            parts.append(f"  … and {len(status.failures) - _MAX_FAILURES} more kinds")
    if status.passes:
        parts += ["", *status.passes]
    if status.still:
        parts += ["", *status.still]
    if status.hints:
        parts += ["", *(f"next: {_in_directory(hint, directory)}" for hint in status.hints)]
    return "\n".join(parts)


def _in_directory(hint: str, directory: str) -> str:
    """``campaign resume`` → ``campaign resume DIRECTORY``; a submission names its own."""
    words = hint.split(" ", 2)
    if words[1] == "submit":
        return f"{hint} -d {directory}"
    return " ".join([*words[:2], directory, *words[2:]])
