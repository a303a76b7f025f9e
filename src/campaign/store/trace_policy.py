"""Which fields of which steps of which runs a stage records: what `trace` in a manifest and in a plan's header says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaign.errors import InvalidValue

RUNS = ("all", "first", "failed")
KEYS = ("fields", "every", "runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class TracePolicy:
    """What is recorded of a stage.

    Attributes:
        fields: names of arrays; None for all, empty for nothing.
        every: of the steps 0, 1, 2, … those are recorded that it divides, the first one included. The coordinate
            `step` of a trace group says which they are.
        runs: "all"; "first": the first run of each program; "failed": those that failed.
    """

    fields: frozenset[str] | None = None
    every: int = 1
    runs: str = "all"

    @property
    def is_nothing(self) -> bool:
        return self.fields is not None and not self.fields

    def n_recorded(self, n_steps: int) -> int:
        """How many of the first `n_steps` steps are recorded: ⌈n_steps / every⌉."""
        return -(-n_steps // self.every)

    def document(self) -> dict[str, Any]:
        """As a plan's header has it."""
        return {"fields": None if self.fields is None else sorted(self.fields), "every": self.every, "runs": self.runs}


def trace_policy(value: Any) -> TracePolicy:
    """The policy that a manifest or a header writes: true, false, or an object with any of `fields`, `every`, `runs`.

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
    return TracePolicy(fields=None if fields is None else frozenset(fields), every=every, runs=runs)
