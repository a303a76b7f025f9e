"""Reading ahead: summaries become the reducer's cached rows while other blocks are still computed."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from campaign.errors import Damage
from campaign.reduce.reading import Schemas, read_rows, schemas_of
from campaign.store import plan
from campaign.store.layout import Layout
from campaign.store.records import read_json


class ReadAhead:
    """Parses published blocks in a thread; Arrow does that without the interpreter.

    A courtesy to the reduction that follows, which finds less to do: what has not been read by then, or could not be,
    it reads itself.
    """

    def __init__(self, layout: Layout, stage: str) -> None:
        self._layout = layout
        self._stage = stage
        self._programs: dict[int, Mapping[str, Any]] = {}
        self._schemas: dict[str, Schemas] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="campaign-read-ahead")

    def note(self, part: int, block: int) -> None:
        """A block of the stage has been published."""
        self._thread.submit(self._read, part, block)

    def _read(self, part: int, block: int) -> None:
        with contextlib.suppress(Damage, OSError):
            if part not in self._programs:
                self._programs[part] = plan.read_header(self._layout, self._stage, part)["programs"]
            programs = self._programs[part].items()
            program = next(name for name, p in programs if 0 <= block - p["first_block"] < p["n_blocks"])
            if program not in self._schemas:
                self._schemas[program] = schemas_of(read_json(self._layout.program(self._stage, program)))
            read_rows(self._layout, self._stage, part, block, self._schemas[program])

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.shutdown(cancel_futures=True)
