"""Which fields of which steps of which runs a stage records: what `trace` in a manifest and in a plan's header says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.errors import InvalidValue

RUNS = ("all", "first", "failed")
DIAGNOSTICS = ("none", "first", "failed", "all")
KEYS = ("fields", "every", "runs", "diagnostics")


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePolicy:
    """What is recorded of a stage.

    Attributes:
        fields: names of arrays; None for all, empty for nothing.
        every: of the steps 0, 1, 2, … those are recorded that it divides, the first one included. The coordinate
            `step` of a trace group says which they are.
        runs: "all"; "first": the first run of each program; "failed": those that failed.
        diagnostics: of which runs every array is recorded that the engine has, those too that `fields` leaves out:
            "none"; "all"; "first" of each program; a number n: each n-th of a program; "failed": those that failed are
            run once more, when the stage is done (`drive.diagnosing`).
    """

    fields: frozenset[str] | None = None
    every: int = 1
    runs: str = "all"
    diagnostics: str | int = "none"

    @property
    def is_nothing(self) -> bool:
        """Whether no array of any run is recorded."""
        return self.is_empty and not self.has_details

    @property
    def is_empty(self) -> bool:
        """Whether `fields` names nothing."""
        return self.fields is not None and not self.fields

    @property
    def has_details(self) -> bool:
        """Whether some runs are recorded in every detail while they run."""
        return self.diagnostics not in ("none", "failed")

    def is_traced(self, name: str, *, is_default: bool) -> bool:
        """Whether `fields` means an array; `is_default`: the engine records it where nothing is named."""
        return is_default if self.fields is None else name in self.fields

    def are_detailed(self, rows: np.ndarray) -> np.ndarray:
        """Which runs are recorded in every detail while they run, by their rows in their program."""
        if not self.has_details:
            return np.zeros(len(rows), bool)
        if self.diagnostics == "first":
            return rows == 0
        return rows % (1 if self.diagnostics == "all" else int(self.diagnostics)) == 0

    def n_recorded(self, n_steps: int) -> int:
        """How many of the first `n_steps` steps are recorded: ⌈n_steps / every⌉."""
        return -(-n_steps // self.every)

    def document(self) -> dict[str, Any]:
        """As a plan's header has it."""
        fields = None if self.fields is None else sorted(self.fields)
        known = {"fields": fields, "every": self.every, "runs": self.runs}
        return known if self.diagnostics == "none" else known | {"diagnostics": self.diagnostics}


EVERYTHING = TracePolicy(diagnostics="all")


def trace_policy(value: Any) -> TracePolicy:
    """The policy that a manifest or a header writes: true, false, or an object with any of `KEYS`.

    Raises:
        InvalidValue: it is something else. The message begins with the key that is wrong, if one is.
    """
    if isinstance(value, bool):
        return TracePolicy(fields=None if value else frozenset())
    if not isinstance(value, Mapping) or not value or set(value) - set(KEYS):
        raise InvalidValue(
            f"{value!r} is not valid here", hint='valid: true, false, {"fields": ["loss", "theta"], "every": 10}'
        )
    fields, every, runs = value.get("fields"), value.get("every", 1), value.get("runs", "all")
    if fields is not None and not (isinstance(fields, list | tuple) and all(isinstance(f, str) for f in fields)):
        raise InvalidValue(f"`fields` takes a list of names, not {fields!r}", hint="null or left out: all fields")
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise InvalidValue(f"`every` takes a number of steps from 1 on, not {every!r}", hint="1 records each step")
    if runs not in RUNS:
        raise InvalidValue(f"`runs` is {runs!r}", hint=f"valid: {', '.join(RUNS)}")
    diagnostics = value.get("diagnostics", "none")
    is_number = isinstance(diagnostics, int) and not isinstance(diagnostics, bool) and diagnostics >= 1
    if diagnostics not in DIAGNOSTICS and not is_number:
        hint = f"valid: {', '.join(DIAGNOSTICS)}, or a number n: each n-th run of a program"
        raise InvalidValue(f"`diagnostics` is {diagnostics!r}", hint=hint)
    own = None if fields is None else frozenset(fields)
    return TracePolicy(fields=own, every=every, runs=runs, diagnostics=diagnostics)
