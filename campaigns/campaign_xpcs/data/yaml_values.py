"""Values of a document by their place; what is wrong is collected, not raised."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from campaign.science import Diagnostic, ManifestError, nearest


class Reader:
    """Reads values and collects what is wrong with them.

    Attributes:
        findings: what is wrong. notes: what was read in another way than it stands there.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.findings: list[Diagnostic] = []
        self.notes: list[str] = []

    def wrong(self, place: str, message: str, hint: str | None = None) -> None:
        self.findings.append(Diagnostic(place=place, message=message, hint=hint))

    def value(self, place: str) -> Any:
        """What stands at a dotted place; None where nothing does."""
        here: Any = self.document
        for part in place.split("."):
            if not isinstance(here, Mapping):
                return None
            here = here.get(part)
        return here

    def number(self, *places: str, above: float | None = None) -> float | None:
        """A finite number at the first of some places that has a value."""
        for place in places:
            if (given := self.value(place)) is not None:
                return self.as_number(given, place, above=above)
        return None

    def as_number(self, given: Any, place: str, *, above: float | None = None) -> float | None:
        """A finite number; text like "1e-8" counts, because YAML reads numbers without a point so."""
        try:
            value = math.nan if isinstance(given, bool) else float(given)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value) or (above is not None and value <= above):
            valid = "a number" if above is None else f"a number above {above:g}"
            self.wrong(place, f"the value is {given!r}", f"valid: {valid}")
            return None
        return value

    def whole(self, place: str, *, least: int) -> int | None:
        given = self.value(place)
        if given is None:
            return None
        if isinstance(given, bool) or not isinstance(given, int) or given < least:
            self.wrong(place, f"the value is {given!r}", f"valid: a whole number, at least {least}")
            return None
        return given

    def text(self, place: str) -> str | None:
        given = self.value(place)
        if given is not None and not isinstance(given, str):
            self.wrong(place, f"the value is {given!r}", "valid: text")
            return None
        return given or None

    def one_of(self, place: str, valid: Iterable[str]) -> str | None:
        valid, given = tuple(valid), self.value(place)
        if given is not None and given not in valid:
            self.wrong(place, f"the value is {given!r}", nearest(str(given), valid))
            return None
        return given

    def section(self, kind: Any, given: Any, at: str, strict: bool) -> Any:
        """A section with a model of its own; its defaults where it is wrong."""
        if given is not None and not isinstance(given, Mapping):
            self.wrong(at, f"the value is {given!r}", "valid: a mapping")
            return kind()
        try:
            return kind.from_dict(given or {}, strict=strict)
        except ManifestError as error:
            self.findings += error.diagnostics
            return kind()
