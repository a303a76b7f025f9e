"""Publishing: write a temporary file, sync it, rename it. A reader sees the old bytes or the new ones, never half."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import Any

from campaign.errors import Unavailable

TEMPORARY_SUFFIX = ".tmp"
_AT_ONCE = 16
_counter = itertools.count()
_HOST = socket.gethostname()


def temporary_name(path: Path) -> Path:
    """A name beside `path` that no other writer uses: hidden, with host, process and a counter."""
    return path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{next(_counter)}{TEMPORARY_SUFFIX}")


def is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(TEMPORARY_SUFFIX)


def sync_folder(folder: Path) -> None:
    """Make renames into a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(temporary: Path, data: bytes, *, durable: bool) -> None:
    with naming(temporary):
        _write_new(temporary, data, durable=durable)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in errors that do not: a full disk is met while writing, when only a number is known."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise


def _write_new(temporary: Path, data: bytes, *, durable: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(temporary, flags, 0o666)
    except FileNotFoundError:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, flags, 0o666)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _at_once(function: Callable[[Any], None], items: Sequence[Any]) -> None:
    """Call `function` for all items in threads: syncing waits for the disk, and waits together take little longer."""
    if len(items) == 1:
        return function(items[0])
    calls = [_threads(os.getpid()).submit(function, item) for item in items]
    wait(calls)  # all of them, before the first error is raised: who cleans up must be the last to write
    for call in calls:
        call.result()
    return None


@cache
def _threads(process: int) -> ThreadPoolExecutor:
    """The threads of a process; a forked child has none of its parent's."""
    return ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="campaign-files")


def publish_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write `data` under `path` by rename, synced unless `durable` is False.

    Raises:
        Unavailable: the disk is full, the quota is used up, or the folder is read-only; nothing is left behind.
    """
    publish_many([(path, data)], durable=durable)


def publish_many(items: Iterable[tuple[Path, bytes]], *, durable: bool = True) -> None:
    """Publish several files: write and sync all of them first, then rename in order, then sync their folders."""
    files = [(temporary_name(path), path, data) for path, data in items]
    try:
        if durable:
            _at_once(lambda file: _write(file[0], file[2], durable=True), files)
        else:
            for temporary, _, data in files:
                _write(temporary, data, durable=False)
        for temporary, path, _ in files:
            os.replace(temporary, path)
        if durable:
            _at_once(sync_folder, list({path.parent: None for _, path, _ in files}))
    except OSError as error:
        for temporary, _, _ in files:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise storage_error(error) from error


@contextlib.contextmanager
def publishing(path: Path) -> Iterator[Path]:
    """For files too large to hold: write to the temporary path that is given; it is synced and renamed at the end.

    After an exception inside, nothing is published and nothing is left behind.
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with naming(path):
            yield temporary
            descriptor = os.open(temporary, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise storage_error(error) from error
    finally:
        temporary.unlink(missing_ok=True)


def storage_error(error: OSError) -> OSError | Unavailable:
    """The clear form of an error of the file system; other errors are returned as they are."""
    place = error.filename or "the campaign directory"
    if is_temporary(os.path.basename(place)):  # people know the name that the file would have had
        place = os.path.join(os.path.dirname(place), os.path.basename(place)[1:].rpartition(f".{_HOST}-")[0])
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(
            f"no space left where {place} is written: {error.strerror}",
            hint="free space (or raise the quota), then `campaign resume`; published results are safe",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return Unavailable(
            f"cannot write {place}: {error.strerror}",
            hint="make the campaign directory writable, or choose another with -d, then `campaign resume`",
        )
    return error
