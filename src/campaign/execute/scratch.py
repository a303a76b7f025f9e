"""Temporary folders on this machine. A process that is killed leaves its own behind; the next one removes it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from campaign.store.owner import is_process_surely_dead, this_process


@contextlib.contextmanager
def scratch(parent: str | None = None) -> Iterator[str]:
    """A folder that is gone afterwards.

    Args:
        parent: where; TMPDIR when None.
    """
    _forget_the_dead(Path(parent or tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(
        prefix=f"{_prefix()}{os.getpid()}-", dir=parent, ignore_cleanup_errors=True
    ) as folder:
        yield folder


def _prefix() -> str:
    """``campaign-<boot>-``: a pid means something only on one host, between two boots, in one namespace."""
    here = this_process()
    return f"campaign-{hashlib.sha256(f'{here.host} {here.boot}'.encode()).hexdigest()[:8]}-"


def _forget_the_dead(parent: Path) -> None:
    host, name = this_process().host, re.compile(re.escape(_prefix()) + r"(\d+)-.*")
    with contextlib.suppress(OSError):
        for path in parent.iterdir():
            match = name.fullmatch(path.name)
            if match and is_process_surely_dead(host, int(match[1])):
                shutil.rmtree(path, ignore_errors=True)  # other users' cannot be removed, and stay
