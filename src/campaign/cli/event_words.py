"""An event of the journal as a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from campaign.cli.numbers import count, duration

Event = Mapping[str, Any]
_PLACE = ("t", "event", "writer")


def words(event: Event) -> str:
    """What happened, for people. An event of an unknown kind, or a torn one, is given as `key value` pairs."""
    say = _SENTENCES.get(event["event"])
    try:
        return say(event) if say else _plain(event)
    except (KeyError, TypeError, AttributeError, ValueError):
        return _plain(event)


def _runs(n: int) -> str:
    return f"{count(n)} run{'' if n == 1 else 's'}"


def _block(event: Event) -> str:
    part = f" of part {event['part']}" if event["part"] else ""
    return f"{event['stage']}, block {event['block']}{part}"


def _published(event: Event) -> str:
    n_ok, n_failed = event["n_ok"], event["n_failed"]
    counts = [f"{_runs(n_ok)} ok"] if n_ok or not n_failed else []
    counts += [f"{_runs(n_failed)} failed"] if n_failed else []
    compiled = f" ({duration(event['compile_s'])} compiling)" if event.get("compile_s") else ""
    worker = f" on {event['worker']}" if event.get("worker") else ""
    text = f"{_block(event)}: {', '.join(counts)} in {duration(event['seconds'])}{compiled}{worker}"
    failures = [f"{entry['n']} × {entry['signature']}" for entry in event.get("failures", ())]
    return "; ".join([text, *failures])


def _lost(event: Event) -> str:
    times = f", {event['count']} times by now" if event.get("count", 1) > 1 else ""
    return f"{_block(event)}: lost with its worker{times}; {event['reason']}"


def _submitted(event: Event) -> str:
    stages = (
        f"{name}: {_runs(entry['n_runs'])}, {count(entry['n_new'])} new"
        + (f", {count(entry['n_removed'])} removed" if entry.get("n_removed") else "")
        for name, entry in event["stages"].items()
    )
    return "; ".join(stages)


_SENTENCES: dict[str, Callable[[Event], str]] = {
    "driver_started": lambda e: f"executor {e['executor']}" + (f", {e['workers']} workers" if e.get("workers") else ""),
    "driver_stopped": lambda e: str(e["reason"]),
    "submitted": _submitted,
    "block_pass": lambda e: f"{_block(e)}: {count(e['n_done'])} of {count(e['n'])} row blocks of a pass ({e['kind']})",
    "stage_started": lambda e: f"{e['stage']}: {_runs(e['n_runs'])}",
    "preflight": lambda e: f"{_block(e)}: one run alone " + (f"failed: {e['reason']}" if e["reason"] else "went well"),
    "stage_finished": lambda e: str(e["stage"]),
    "block_started": lambda e: _block(e) + (f" on {e['worker']}" if e.get("worker") else ""),
    "block_published": _published,
    "block_interrupted": lambda e: f"{_block(e)}: stopped after {duration(e['seconds'])}; it will continue from there",
    "block_lost": _lost,
    "member_lost": lambda e: f"{_block(e)}: {e['reason']}; it was replaced",
    "reduced": lambda e: f"the table has {count(e['n_rows'])} rows",
    "retried": lambda e: f"{e['stage']}: {_runs(e['n_runs'])} that ended with {e['kind']} are retried",
    "diagnosed": lambda e: f"{e['stage']}: {_runs(e['n_runs'])} that failed run again, with every array recorded",
    "split": lambda e: f"{e['stage']}: {_runs(e['n_runs'])} of lost blocks continue in smaller blocks",
    "taken_over": lambda e: f"from an earlier driver, with {count(e['n_blocks_left'])} of its blocks still running",
    "unblinded": lambda e: f"somebody asked on {e['host']} for the truth of {', '.join(e['parameters'])}",
    "repaired": lambda e: (
        f"{len(e.get('rebuilt', ()))} files rebuilt, {e['removed']} removed, {len(e['moved'])} moved to damaged/"
    ),
}


def _plain(event: Event) -> str:
    kept = ((key, value) for key, value in event.items() if key not in _PLACE and value not in (None, [], {}))
    return ", ".join(f"{key} {_short(value)}" for key, value in kept)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    return text if len(text) <= 120 else text[:117] + "..."
