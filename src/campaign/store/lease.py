"""The driver's lease: one driver a campaign, noticed by all, survived by none for long.

`lock/driver.json` is created with O_EXCL and says who holds it. The holder touches it every few seconds. A lease is
stale when its time stamp is more than `expiry_s` behind that of a file just touched next to it: both are stamps of the
file system, so clocks of hosts do not matter. It is dead at once when its process has ended on this very machine.

Ending a lease, one's own or a stale one, needs its claim: `lock/claim-<token>-<n>.json`, created with O_EXCL for the
token that was read. Of any number of breakers one gets the claim; it looks again, and only then renames its own lease
over the stale one. A claim whose maker died is passed by the next number. So a lease that has just been renewed or
taken over is never broken by somebody who looked before.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from campaign.errors import Locked
from campaign.store.atomic import publish_bytes, storage_error
from campaign.store.layout import Layout
from campaign.store.owner import Owner, this_process
from campaign.store.records import dumps_pretty, loads

EXPIRY_S = 60.0
HEARTBEAT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What a lease on disk says.

    Attributes:
        token: unique to the lease; "" where the file could not be read.
        owner: the process, or None where the file could not be read.
        age_s: since its last heartbeat, by the file system's clock.
        is_stale: it may be broken.
    """

    token: str
    owner: Owner | None
    age_s: float
    is_stale: bool

    def __str__(self) -> str:
        who = f"process {self.owner.pid} on {self.owner.host}" if self.owner else "an unknown process"
        return f"{who}, last sign of life {self.age_s:.0f} s ago"


def holder(layout: Layout, *, expiry_s: float = EXPIRY_S) -> Holder | None:
    """Who holds the campaign, or None."""
    return _look(layout.lease, layout, expiry_s)


def acquire(layout: Layout, *, expiry_s: float = EXPIRY_S, heartbeat_s: float = HEARTBEAT_S) -> Lease:
    """Take the lease, breaking a stale one.

    Raises:
        Locked: another driver is alive; who, since when, what to do.
        Unavailable: the lock folder cannot be written.
    """
    token = secrets.token_hex(8)
    content = dumps_pretty({"schema": "campaign.lease/1", "token": token, "owner": this_process().to_json()})
    try:
        layout.lease.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(3):
            if _create(layout.lease, content) or _take_over(layout, content, expiry_s):
                return Lease(layout, token, expiry_s=expiry_s, heartbeat_s=heartbeat_s)
            current = holder(layout, expiry_s=expiry_s)
            if current is not None and not current.is_stale:
                raise _locked(layout, current, expiry_s)
        current = holder(layout, expiry_s=expiry_s)
    except OSError as error:
        raise storage_error(error) from error
    raise _locked(layout, current, expiry_s)


class Lease:
    """A lease that is held; a context manager. Made by `acquire`."""

    def __init__(self, layout: Layout, token: str, *, expiry_s: float, heartbeat_s: float) -> None:
        self.layout = layout
        self.token = token
        self._pid = os.getpid()
        self._expiry_s = expiry_s
        self._heartbeat_s = heartbeat_s
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="campaign-lease", daemon=True)
        self._thread.start()

    def is_held(self) -> bool:
        """Whether the lease is still this one: read from disk, not remembered."""
        if self._lost.is_set() or self._stop.is_set():
            return False
        if _token(self.layout.lease) != self.token:
            self._lost.set()
        return not self._lost.is_set()

    def renew(self) -> None:
        """One heartbeat, at once. A lease that is no longer this one is not touched."""
        try:
            with self.layout.lease.open("rb+") as file:
                if _parse(file.read())[0] == self.token:
                    os.utime(file.fileno())
                else:
                    self._lost.set()
        except FileNotFoundError:
            self._lost.set()

    def release(self) -> None:
        """Give the lease back. A lease that was lost is left to its new holder."""
        if self._pid != os.getpid() or self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(timeout=1.0)
        with contextlib.suppress(OSError):  # a full disk: the next process sees that this process has ended
            if _claim(self.layout, self.token, self._expiry_s) is None:
                return
            if _token(self.layout.lease) == self.token:
                self.layout.lease.unlink(missing_ok=True)
            _drop_claims(self.layout, self.token)

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat_s) and not self._lost.is_set():
            with contextlib.suppress(OSError):  # a hiccup of the file system: the next beat tries again
                self.renew()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()


def _take_over(layout: Layout, content: bytes, expiry_s: float) -> bool:
    """Put `content` in the place of a stale lease. True for exactly one of all who try."""
    seen = holder(layout, expiry_s=expiry_s)
    if seen is None or not seen.is_stale:
        return False
    claim = _claim(layout, seen.token, expiry_s)
    if claim is None:
        return False
    again = holder(layout, expiry_s=expiry_s)
    is_same = again is not None and again.is_stale and again.token == seen.token
    if is_same:
        publish_bytes(layout.lease, content)
        _drop_claims(layout, seen.token)
    else:
        claim.unlink(missing_ok=True)
    return is_same


def _claim(layout: Layout, token: str, expiry_s: float) -> Path | None:
    """The right to end the lease with this token: its own claim file, or None while somebody else has it."""
    content = dumps_pretty({"schema": "campaign.lease/1", "token": token, "owner": this_process().to_json()})
    name = token or "unreadable"
    for number in range(1, 100):
        claim = layout.lease_claim(name, number)
        if _create(claim, content):
            return claim
        other = _look(claim, layout, expiry_s)
        if other is None or not other.is_stale:
            return None
    return None


def _drop_claims(layout: Layout, token: str) -> None:
    for claim in sorted(layout.lease.parent.glob(layout.lease_claim(token or "unreadable", 0).stem[:-1] + "*.json")):
        claim.unlink(missing_ok=True)


def _create(path: Path, content: bytes) -> bool:
    """Create a file that must not exist; False when it does."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    except OSError:  # a full disk: an empty lease would lock everybody out until it expires
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return True


def _look(path: Path, layout: Layout, expiry_s: float) -> Holder | None:
    try:
        with path.open("rb") as file:  # opening, not stat: network file systems revalidate on open
            stamp = os.fstat(file.fileno()).st_mtime
            token, owner = _parse(file.read())
    except FileNotFoundError:
        return None
    age = file_system_time(layout) - stamp
    is_dead = owner is not None and owner.is_surely_dead()
    # a stamp far ahead is not a heartbeat either: some clock was wrong, and a living holder soon stamps again
    return Holder(token=token, owner=owner, age_s=max(0.0, age), is_stale=is_dead or abs(age) > expiry_s)


def file_system_time(layout: Layout) -> float:
    """Now [s of the epoch] by the clock that stamps the lease."""
    probe = layout.lease_probe(f"{this_process().writer}-{threading.get_ident()}")
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        with probe.open("wb") as file:
            os.utime(file.fileno())
            return os.fstat(file.fileno()).st_mtime
    except OSError:  # somebody who may only look: the host's clock is the best there is
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _token(path: Path) -> str | None:
    try:
        return _parse(path.read_bytes())[0]
    except FileNotFoundError:
        return None


def _parse(data: bytes) -> tuple[str, Owner | None]:
    try:
        record = loads(data)
        return str(record["token"]), Owner(**record["owner"])
    except (ValueError, KeyError, TypeError):
        return "", None


def _locked(layout: Layout, current: Holder | None, expiry_s: float) -> Locked:
    if current is None:
        return Locked(f"the lease of {layout.root} changes hands", hint="try again")
    since = ""
    if current.owner is not None:
        since = time.strftime(" since %Y-%m-%d %H:%M:%S UTC", time.gmtime(current.owner.started))
    return Locked(
        f"{layout.root} is held{since} by {current}",
        hint="watch it with `campaign status`, or stop that driver; a lease without a sign of life for "
        f"{expiry_s:.0f} s is taken over by the next `campaign resume`",
    )
