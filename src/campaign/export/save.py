"""Writing one run as plain files."""

from __future__ import annotations

import contextlib
import filecmp
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from campaign.analysis.handle import open_campaign
from campaign.analysis.select import find, read_record
from campaign.errors import UnknownName, UsageError, nearest
from campaign.export.arrays import OWN_FILES, step_lines, trace_arrays
from campaign.export.documents import described, summarised
from campaign.export.recorded import RecordedRun, recorded
from campaign.export.signals import signal_arrays
from campaign.store.atomic import publish_many, publishing
from campaign.store.checksum import seal
from campaign.store.layout import RunFolder
from campaign.store.records import dumps_pretty
from campaign.store.run_files import Pieces, json_lines, write_arrays

if TYPE_CHECKING:
    from campaign.report.signals import Recipe

TRACE, STEPS, SIGNALS, ALL = "trace", "steps", "signals", "all"
ARTIFACTS = (STEPS, SIGNALS, *OWN_FILES)
RECORDED = {"grads": "grad", "curvature": "curvature", "precond": "lr_vec"}  # artifact → array that it is made of


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What `save_run` wrote.

    Attributes:
        files: summary.json is the last.
        absent: what was asked for and not written → why.
        left_out: further artifacts for which the run has something.
    """

    run_id: str
    files: tuple[Path, ...]
    absent: Mapping[str, str]
    left_out: tuple[str, ...]


def save_run(
    directory: str | Path,
    run: str,
    folder: str | Path | None = None,
    *,
    artifacts: Iterable[str] = (),
    every: int = 1,
    signals: Sequence[Recipe] = (),
    again: bool = False,
    overwrite: bool = False,
) -> Saved:
    """Write one finished run of a campaign as plain files: trace.npz, then meta.json and, last of all, summary.json.

    Args:
        directory: of the campaign.
        run: the beginning of a run id, or "last".
        folder: where to; None: ``runs/<run id>`` of the campaign, where the two documents are the campaign's own.
        artifacts: further files, of `ARTIFACTS`; "all": those for which the run has something.
        every: diag_steps.jsonl and grads.npz have one of so many recorded steps, the first and the last among them.
        signals: recipes of what goes into signals.npz, which is then written.
        again: run it once more in this process, with every array recorded, and write those (`campaign.replay`).
        overwrite: replace files of other content.

    Raises:
        UnknownName: no such campaign, run or artifact; or the run is not finished.
        UsageError: a file is there with other content.
    """
    wanted, every = _wanted(artifacts, bool(signals)), max(every, 1)
    handle = open_campaign(directory)
    place = find(handle.layout, run)
    record = read_record(handle.layout, place)
    if record is None:
        raise UnknownName(f"run {place.run_id} is not finished", hint=f"campaign status {directory}")
    own = recorded(handle, place, record, again=again)
    files = RunFolder(handle.layout.run_folder(place.run_id) if folder is None else Path(folder))
    chosen = {name: _content(name, own, every, signals) for name in (TRACE, *wanted)}
    with contextlib.ExitStack() as stack:
        made = []
        for kind, content in chosen.items():
            if not isinstance(content, str):
                path = files.steps if kind == STEPS else files.arrays(kind)
                new = stack.enter_context(publishing(path))
                _write(new, content)
                made.append((kind, path, new))
        meta, summary = own.meta, own.record
        if folder is not None:
            meta = described(own, made)
            summary = summarised(own, meta)
        documents = [(files.meta, dumps_pretty(seal(meta))), (files.summary, dumps_pretty(seal(summary)))]
        _require_same(made, documents, overwrite=overwrite)
    for one in documents:
        publish_many([one])
    return Saved(
        run_id=place.run_id,
        files=(*(path for _, path, _ in made), files.meta, files.summary),
        absent={name: content for name, content in chosen.items() if isinstance(content, str)},
        left_out=tuple(name for name, array in RECORDED.items() if array in own.arrays and name not in wanted),
    )


def _wanted(artifacts: Iterable[str], has_signals: bool) -> tuple[str, ...]:
    """The files that are asked for, in order; those of signals only with recipes."""
    asked = set(artifacts)
    for name in asked - {ALL, *ARTIFACTS}:
        raise UnknownName(f"unknown artifact `{name}`", hint=nearest(name, (*ARTIFACTS, ALL)))
    if ALL in asked:
        asked = set(ARTIFACTS) - {SIGNALS}
    return tuple(name for name in ARTIFACTS if name in asked or (name == SIGNALS and has_signals))


def _content(name: str, run: RecordedRun, every: int, signals: Sequence[Recipe]) -> bytes | Mapping[str, Pieces] | str:
    """What goes into a file, or why there is nothing."""
    if name == TRACE:
        return trace_arrays(run)
    if name == STEPS:
        return json_lines(step_lines(run, every)) if len(run.steps) else "the run recorded no `loss` of its steps"
    if name == SIGNALS:
        return signal_arrays(run, signals)
    return OWN_FILES[name](run, every)


def _write(path: Path, content: bytes | Mapping[str, Pieces]) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        write_arrays(path, content)


def _require_same(
    made: Sequence[tuple[str, Path, Path]], documents: Sequence[tuple[Path, bytes]], *, overwrite: bool
) -> None:
    """Raises `UsageError` where a file is there with other content, unless it may be replaced."""
    others = [path for _, path, new in made if path.exists() and not filecmp.cmp(path, new, shallow=False)]
    others += [path for path, data in documents if path.exists() and path.read_bytes() != data]
    if others and not overwrite:
        more = f", and {len(others) - 1} more" if others[1:] else ""
        raise UsageError(
            f"{others[0]} exists with other content{more}",
            hint="write to another folder with -o, or replace it with --force",
        )
