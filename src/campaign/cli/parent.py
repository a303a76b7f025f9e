"""The parent of a command that calls people's own code: it outlives what such code does to its process.

The command runs as its child, on the same terminal. Where the child is ended while a problem is imported, built or
traced, the parent says which file did it. Where a run of the executor `inline` ended it, the parent resumes the
campaign as long as each end tells more about the runs at fault (`work.watchdog`), which then fail alone. It counts
Ctrl-C: the child hears of each as SIGUSR2, and has `LEAVE_S` after the second. It imports neither JAX nor Arrow.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from campaign.cli.interrupts import LEAVE_S, PRESSED
from campaign.cli.output import talk
from campaign.errors import CampaignError, Incomplete, InvalidValue
from campaign.execute.mpi.launcher import world_rank
from campaign.last_words import Ending, endings, note_end, spoken_at, unfinished
from campaign.store.layout import Layout
from campaign.touching import WORDS
from campaign.whose import OWN_FILE

MOST_BYTES = 50_000_000  # of a manifest that is looked through
LOOK_S = 0.25
STILL_S = 30.0  # of one import, build or trace, after which the parent says that it goes on; again after twice the time
BY_HAND = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)  # how people and systems end a process


def is_needed(arguments: Sequence[str]) -> bool:
    """Whether a command may call people's own code, by its words and the manifest that they name."""
    if {"-h", "--help"} & set(arguments) or world_rank() is not None:
        return False
    return any(OWN_FILE in word or _has_file_problem(Path(word)) for word in (*arguments[1:], "."))


def _has_file_problem(path: Path) -> bool:
    try:
        if path.is_dir():
            path = path / Layout(path).manifest.name
        if not path.is_file() or path.suffix != ".json":
            return False
        with path.open("rb") as file:
            return OWN_FILE.encode() in file.read(MOST_BYTES)
    except (OSError, ValueError):
        return False


def run_in_child(arguments: Sequence[str]) -> int:
    """Run the command in a child process, and go on with it where a run ended it. The exit code.

    Raises:
        InvalidValue: the child was ended by what it imported, built or traced.
        Incomplete: it was ended while it drove a campaign, and going on would not help.
    """
    program = [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(arguments)]]
    words = list(arguments)
    known: dict[Path, int] = {}
    presses = _Presses()
    while True:
        n_killed = _killed_for_memory()
        with tempfile.TemporaryFile("a+b", buffering=0) as file:
            code = presses.watch(_start([*program, *words], file.fileno()), file.fileno(), is_quiet="-q" in arguments)
            text = os.pread(file.fileno(), MOST_BYTES, 0).decode(errors="replace")
        is_short = code == -signal.SIGKILL and _killed_for_memory() > n_killed
        how = "killed by the system: memory ran out" if is_short else _how(code)
        is_by_hand = -code in BY_HAND and not is_short
        left = unfinished(text)
        if any("done" in entry for entry in left):
            return code
        drives = next((entry for entry in left if "directory" in entry), None)
        if presses.has_ended:
            raise _interrupted(drives)
        if left and "phase" in left[-1]:
            raise _at_fault(left[-1], next(reversed(list(endings(text))), None), how, drives)
        if drives is None:
            talk(f"error: the command was {how}")
            return code if code > 0 else 128 - code
        directory = str(drives["directory"])
        note = None if is_by_hand else how
        if drives["executor"] != "inline" or not _tells_more(Layout(Path(directory)), note, known):
            raise Incomplete(
                f"the process that drove {directory} was {how}", hint=f"continue: `campaign resume {directory}`"
            )
        talk(f"a run's own code ended the process ({how}); the other runs continue")
        words = ["resume", directory, "-e", "inline", *_kept_options(arguments)]


def _start(command: list[str], descriptor: int) -> subprocess.Popen[bytes]:
    """Start the child. It ignores SIGINT from its first moment on: the parent passes presses on."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        environment = {**os.environ, WORDS: str(descriptor)}
        return subprocess.Popen(command, pass_fds=[descriptor], env=environment)
    finally:
        signal.signal(signal.SIGINT, before)


class _Presses:
    """Ctrl-C as the parent counts it, over all its children."""

    def __init__(self) -> None:
        self._count, self._deadline = 0, float("inf")
        self._child: subprocess.Popen[bytes] | None = None
        self.has_ended = False
        signal.signal(signal.SIGINT, self._press)
        signal.signal(signal.SIGTERM, lambda number, _: self._pass_on(number))

    def _press(self, number: int, _: object) -> None:
        self._count += 1
        self._pass_on(PRESSED)
        if self._count == 2:
            self._deadline = time.monotonic() + LEAVE_S
        elif self._count > 2:
            self._deadline = min(self._deadline, time.monotonic() + 2 * LOOK_S)

    def _pass_on(self, number: int) -> None:
        if self._child is not None and self._child.returncode is None:
            self._child.send_signal(number)

    def watch(self, child: subprocess.Popen[bytes], descriptor: int, *, is_quiet: bool) -> int:
        """Wait for the child, say what takes long, end it when it does not leave. Its exit code."""
        self._child = child
        seen, since, say_after = "", time.monotonic(), STILL_S
        while True:
            try:
                code = child.wait(LOOK_S)
            except subprocess.TimeoutExpired:
                code = None
            if code is not None:
                self.has_ended |= self._count > 0 and code == -PRESSED  # it had no handler yet
                return code
            now = time.monotonic()
            if now >= self._deadline:
                self.has_ended = True
                child.kill()
                continue
            text = os.pread(descriptor, 65_536, 0).decode(errors="replace")
            if text != seen:
                seen, since, say_after = text, now, STILL_S
            elif now - since >= say_after:
                left = unfinished(text)
                if left and "phase" in left[-1] and not is_quiet:
                    talk(f"`{left[-1]['what']}` is still being {left[-1]['phase']} after {now - since:.0f} s")
                say_after *= 2


def _interrupted(drives: Mapping[str, Any] | None) -> CampaignError:
    if drives is None:
        error = CampaignError("interrupted: the command did not react and was ended")
    else:
        directory = drives["directory"]
        n = sum(1 for _ in Path(directory).glob("summaries/*/*.jsonl"))
        error = CampaignError(
            f"interrupted; your code did not return, so its process was ended; finished blocks kept: {n}",
            hint=f"continue: `campaign resume {directory}`",
        )
    error.exit_code = 130
    return error


def _at_fault(
    entry: Mapping[str, Any], ending: Ending | None, how: str, drives: Mapping[str, Any] | None
) -> InvalidValue:
    """The problem that ended the child, or did not come back."""
    what, phase = entry["what"], entry["phase"]
    where = ending.where if ending is not None and ending.entry == entry else ""
    kept = f"; finished results are kept in {drives['directory']}" if drives is not None else "; nothing was written"
    if ending is not None and ending.entry == entry and not ending.how:
        return InvalidValue(
            f"`{what}` did not return within {entry['limit_s']:g} s: it hung while it was {phase}{where}{kept}",
            hint="find out why it waits there; if it is only slow, increase the stage's `timeout_s`",
        )
    how = ending.how if ending is not None and ending.entry == entry else how
    return InvalidValue(
        f"`{what}` ended the command while it was {phase}{where}: {how}{kept}",
        hint="a problem file raises an exception when it cannot continue; correct it and run the command again",
    )


def _how(code: int) -> str:
    return f"ended by {signal.Signals(-code).name}" if code < 0 else f"left with exit code {code}"


def _killed_for_memory() -> int:
    """Processes of this machine that the system has ended because memory ran out; 0 where it does not count them."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _tells_more(layout: Layout, how: str | None, known: dict[Path, int]) -> bool:
    """Whether this end says more about runs at fault than those before did. `how`: None where somebody wanted it."""
    files = sorted((layout.root / "checkpoints").glob("*/*.hung"), key=lambda path: spoken_at(path) or 0.0)
    if files and how is not None:
        note_end(files[-1], how)
    counts = {path: sum(1 for _ in endings(_text(path))) for path in files}
    tells = any(count > known.get(path, 0) for path, count in counts.items())
    known.update(counts)
    return tells and how is not None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _kept_options(arguments: Sequence[str]) -> list[str]:
    """Options of the first command that `resume` takes as well."""
    kept = [word for word in arguments if word in ("-q", "--quiet", "--json", "--debug", "--no-preflight")]
    for i, word in enumerate(arguments):
        if word in ("-p", "--profile"):
            kept += arguments[i : i + 2]
        elif word.startswith("--profile="):
            kept.append(word)
    return kept
