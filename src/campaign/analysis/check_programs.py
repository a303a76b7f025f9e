"""What programs declare of their runs: the reducer and the traces rest on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from campaign.analysis.finding import REDO, Finding
from campaign.errors import Damage
from campaign.store import plan
from campaign.store.layout import Layout
from campaign.store.records import read_json
from campaign.store.summaries import published
from campaign.store.trace_groups import with_run_chunks

Declared = dict[str, Mapping[str, Any]]
_OK = b'"status":"ok"'


def check_programs(layout: Layout, stage: str, declared: Declared) -> Iterator[Finding]:
    """Findings of the declarations of a stage; those that can be read are put into `declared`.

    A program whose runs have all failed may have declared nothing. The worker that runs one of its blocks again writes
    a declaration that is lost.
    """
    done = published(layout, stage)
    for part in plan.parts(layout, stage):
        try:
            programs = plan.read_header(layout, stage, part)["programs"]
        except Damage:
            continue  # told by `check_plan`
        for program, entry in programs.items():
            file = layout.program(stage, program)
            place = file.relative_to(layout.root).as_posix()
            try:
                described = _described(read_json(file), place)
                declared[program] = with_run_chunks(described, layout.trace_group(stage, program))
                continue
            except FileNotFoundError:
                message, paths = "missing, though runs of it are published", ()
            except Damage as error:
                message, paths = error.message, (place,)
            blocks = range(entry["first_block"], entry["first_block"] + entry["n_blocks"])
            block = _block_with_results(layout, stage, part, (b for b in blocks if (part, b) in done))
            if block is not None:
                message, paths = f"{message}; redoing one block writes it again", (*paths, block)
            if paths:
                yield Finding(kind="program", place=place, message=message, repair=REDO, paths=paths)


def _described(document: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(document, dict) or not {"parameters", "derived", "metrics", "trace"} <= document.keys():
        raise Damage(f"{place} is not a declaration of a program")
    return document


def _block_with_results(layout: Layout, stage: str, part: int, blocks: Iterator[int]) -> str | None:
    """The summaries of the first of some blocks with a run that went well; such a run's program has declared itself."""
    for block in blocks:
        path = layout.summaries(stage, part, block)
        try:
            if _OK in path.read_bytes():
                return path.relative_to(layout.root).as_posix()
        except FileNotFoundError:
            continue
    return None
