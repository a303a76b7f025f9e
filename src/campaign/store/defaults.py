"""Stored best parameters of models: merged, never overwritten blindly, with their whole history.

On disk, in the folder that `CAMPAIGN_DEFAULTS` names, else ``$XDG_DATA_HOME/campaign/defaults`` or
``~/.local/share/campaign/defaults``::

    <model>.json             the record that holds now
    <model>.history.jsonl    every record, oldest first; written and synced before the file above is replaced
    <model>.lock             excludes two updates of one model; different models do not wait for each other
    <model>.damaged-<n>      a file that could not be read, kept aside

An update appends the whole new record to the history, then publishes it by rename. A process killed in between leaves
the old file and a newer history; the next process sees the newer record. So an update is either there or not.
Each record carries the SHA-256 of its content: a flipped digit is found as well as a torn file, and the record is
rebuilt from the history.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from campaign.errors import InvalidValue, Locked, Unavailable, UnknownName, nearest
from campaign.store.atomic import publish_bytes, storage_error, sync_folder

SCHEMA = "campaign.defaults/1"
LOCK_TIMEOUT_S = 60.0
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class DamagedDefaults(UserWarning):
    """A stored record could not be read; it was kept aside and rebuilt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One record of a model's defaults.

    Attributes:
        model: whose defaults.
        revision: 1, 2, 3 … per model.
        values: all stored parameters after this update.
        changed: the parameters that this update set.
        provenance: where the numbers come from; any JSON.
        updated_at: ISO 8601, UTC.
    """

    model: str
    revision: int
    values: dict[str, float]
    changed: list[str]
    provenance: dict[str, Any] = field(default_factory=dict)
    updated_at: str


def defaults_folder() -> Path:
    """Where defaults live: `CAMPAIGN_DEFAULTS`, else the user's data folder."""
    named = os.environ.get("CAMPAIGN_DEFAULTS")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "campaign" / "defaults"


def load(model: str, *, folder: Path | None = None) -> Stored | None:
    """The record that holds now; None where nothing was stored yet.

    A damaged record is kept aside and rebuilt from the history, with a `DamagedDefaults` warning.
    """
    folder = folder or defaults_folder()
    path = _path(folder, model)
    newest = _newest(history(model, folder=folder))
    if not path.exists():
        return newest
    current = _parse(path.read_bytes(), model)
    if current is None:
        with _locked(folder, model):
            return _mended(folder, model)
    return newest if newest is not None and newest.revision > current.revision else current


def load_defaults(model: str, *, folder: Path | None = None) -> dict[str, float]:
    """Stored parameters of a model, for ``start.from: "defaults"``.

    Raises:
        UnknownName: nothing is stored for this model.
    """
    stored = load(model, folder=folder)
    if stored is None:
        known = models(folder=folder)
        raise UnknownName(
            f"no defaults are stored for the model `{model}` in {folder or defaults_folder()}",
            hint="a stage with `publish: defaults` stores them" + (f"; {nearest(model, known)}" if known else ""),
        )
    return dict(stored.values)


def models(*, folder: Path | None = None) -> tuple[str, ...]:
    """The models that have stored defaults, sorted."""
    folder = folder or defaults_folder()
    return tuple(sorted(p.name.removesuffix(".history.jsonl") for p in folder.glob("*.history.jsonl")))


def history(model: str, *, folder: Path | None = None) -> list[Stored]:
    """Every readable record, oldest first. A torn last line (a process killed while it wrote) is left out."""
    path = _history_path(folder or defaults_folder(), model)
    if not path.exists():
        return []
    return [record for line in path.read_bytes().splitlines() if (record := _parse(line, model)) is not None]


def update_defaults(
    model: str,
    values: Mapping[str, float],
    *,
    provenance: Mapping[str, Any] | None = None,
    dry_run: bool = False,
    folder: Path | None = None,
) -> Stored:
    """Merge `values` into a model's defaults; what is not named keeps its value.

    Args:
        values: parameter → number.
        provenance: any JSON: optimiser, data, hashes, conventions …
        dry_run: return what would be stored and write nothing.

    Raises:
        InvalidValue: a value that is not a finite number, or provenance that is not JSON.
        Locked: another process has held this model's lock for a minute.
        Unavailable: the folder cannot be written.
    """
    folder = folder or defaults_folder()
    clean = {str(name): _finite(name, value) for name, value in values.items()}
    origin = _as_json(dict(provenance or {}))
    if dry_run:
        return _merged(load(model, folder=folder), model, clean, origin)
    with _locked(folder, model):
        record = _merged(_mended(folder, model), model, clean, origin)
        _append(folder, record)
        publish_bytes(_path(folder, model), _text(record))
        return record


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document, whole or not at all."""
    publish_bytes(path, (json.dumps(document, indent=2, allow_nan=False) + "\n").encode())


def _merged(old: Stored | None, model: str, values: dict[str, float], provenance: dict[str, Any]) -> Stored:
    return Stored(
        model=model,
        revision=(old.revision if old else 0) + 1,
        values={**(old.values if old else {}), **values},
        changed=sorted(values),
        provenance=provenance,
        updated_at=datetime.now(UTC).isoformat(timespec="microseconds"),
    )


def _mended(folder: Path, model: str) -> Stored | None:
    """The record that holds, with the lock held: rolled forward to the history, or rebuilt from it."""
    path = _path(folder, model)
    newest = _newest(history(model, folder=folder))
    current = None
    if path.exists():
        current = _parse(path.read_bytes(), model)
        if current is None:
            kept = next(p for n in range(1, 10**6) if not (p := folder / f"{model}.damaged-{n}").exists())
            os.replace(path, kept)
            source = f"revision {newest.revision} of its history" if newest else "nothing: its history is empty"
            warnings.warn(
                f"the stored defaults {path} were damaged; kept as {kept.name}, rebuilt from {source}",
                DamagedDefaults,
                stacklevel=4,
            )
    if newest is not None and (current is None or newest.revision > current.revision):
        publish_bytes(path, _text(newest))
        return newest
    return current


def _newest(records: list[Stored]) -> Stored | None:
    return max(records, key=lambda r: r.revision, default=None)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _text(record: Stored, *, indent: int | None = 2) -> bytes:
    content = {"schema": SCHEMA, **asdict(record)}
    return (json.dumps({**content, "sha256": _digest(content)}, indent=indent) + "\n").encode()


def _parse(data: bytes, model: str) -> Stored | None:
    """A record from its bytes; None where they are torn, altered, or another model's."""
    try:
        content = json.loads(data)
        digest = content.pop("sha256")
        if content.pop("schema") != SCHEMA or content["model"] != model:
            return None
        return Stored(**content) if digest == _digest({"schema": SCHEMA, **content}) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _append(folder: Path, record: Stored) -> None:
    """One line at the end of the history, synced. After a torn line, on a new one."""
    path = _history_path(folder, record.model)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (b"\n" if torn else b"") + _text(record, indent=None))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(folder)
    except OSError as error:
        raise storage_error(error) from error


@contextmanager
def _locked(folder: Path, model: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    path = _path(folder, model).with_name(f"{model}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path, timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout:
        raise Locked(
            f"the defaults of `{model}` have been locked for {LOCK_TIMEOUT_S:.0f} s ({path})",
            hint="another process is updating them; try again",
        ) from None
    except OSError as error:
        raise Unavailable(
            f"the defaults in {folder} cannot be written: {error.strerror or error}",
            hint="set CAMPAIGN_DEFAULTS to a folder that can",
        ) from error


def _path(folder: Path, model: str) -> Path:
    if not _MODEL.fullmatch(model):
        raise InvalidValue(f"`{model}` is not a name for a model", hint="letters, digits, `.`, `_` and `-`")
    return folder / f"{model}.json"


def _history_path(folder: Path, model: str) -> Path:
    return _path(folder, model).with_name(f"{model}.history.jsonl")


def _finite(name: str, value: Any) -> float:
    if isinstance(value, bool) or (not isinstance(value, (int, float)) and not hasattr(value, "__float__")):
        raise InvalidValue(f"default `{name}` = {value!r} is not a number")
    number = float(value)
    if not math.isfinite(number):
        raise InvalidValue(f"default `{name}` = {number} is not finite", hint="a failed fit is not a default")
    return number


def _as_json(provenance: dict[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(provenance, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"the provenance of defaults is not JSON: {error}") from error
