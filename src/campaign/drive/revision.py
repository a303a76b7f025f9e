"""Under which commit the manifest's folder stood when it was submitted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

_WAIT_S = 5.0  # what a large repository on a slow disk may take; then nothing is known


def revision(folder: Path) -> dict[str, Any] | None:
    """``commit``, and whether tracked files differ from it (``dirty``); None outside a repository and without Git."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changed is None else bool(changed)}


def _git(folder: Path, *words: str) -> str | None:
    """What Git answers; None where it fails. It takes no lock and starts no program of the repository's."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *words]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, stdin=subprocess.DEVNULL, text=True, timeout=_WAIT_S
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
