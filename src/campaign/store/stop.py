"""A request to everything that works on a campaign: drain, pause, or end at once. Any login shell may write it.

Drivers and workers look at one file now and then (a stat), so it works for every executor, across hosts and without a
connection. A driver that begins withdraws the request: `campaign resume` overrides it. A driver that ends withdraws it
too, except `pause`, which stays until the campaign is resumed.
"""

from __future__ import annotations

import getpass
import os
import time
from dataclasses import dataclass

from campaign.errors import InvalidValue
from campaign.store.atomic import publish_bytes
from campaign.store.layout import Layout
from campaign.store.owner import this_process
from campaign.store.records import dumps_pretty, loads

DRAIN = "drain"  # blocks in flight stop at their next chunk of steps, with a checkpoint
PAUSE = "pause"  # the same, and the campaign says that it is paused until somebody resumes it
CANCEL = "cancel"  # the driver ends its workers without waiting
MODES = (DRAIN, PAUSE, CANCEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequest:
    """Who asked for what, when [s of the epoch]."""

    mode: str
    reason: str
    asked_at: float
    by: str


def request_stop(layout: Layout, mode: str, reason: str) -> None:
    """Write the request. A later one replaces an earlier one.

    Raises:
        InvalidValue: `mode` is none of `MODES`.
        Unavailable: the lock folder cannot be written.
    """
    if mode not in MODES:
        raise InvalidValue(f"unknown way to stop `{mode}`", hint="valid: " + ", ".join(f"`{m}`" for m in MODES))
    record = {"schema": "campaign.stop/1", "mode": mode, "reason": reason, "asked_at": time.time()}
    publish_bytes(layout.stop, dumps_pretty(record | {"by": _asker()}))


def _asker() -> str:
    """``user on host``, to say who it was."""
    host = this_process().host
    try:
        return f"{getpass.getuser()} on {host}"
    except (ImportError, KeyError, OSError):  # an account without a name
        return f"user {os.getuid()} on {host}"


def stop_requested(layout: Layout) -> StopRequest | None:
    """The current request, or None. What cannot be read counts as `drain`: the careful meaning."""
    try:
        data = layout.stop.read_bytes()
    except FileNotFoundError:
        return None
    try:
        record = loads(data)
        return StopRequest(
            mode=record["mode"] if record["mode"] in MODES else DRAIN,
            reason=str(record["reason"]),
            asked_at=float(record["asked_at"]),
            by=str(record["by"]),
        )
    except (ValueError, KeyError, TypeError):
        return StopRequest(mode=DRAIN, reason=f"{layout.stop} cannot be read", asked_at=0.0, by="")


def clear_stop(layout: Layout) -> None:
    """Withdraw the request."""
    layout.stop.unlink(missing_ok=True)
