"""Blinding: parameters that are shown shifted by secret offsets until somebody asks for the truth on purpose.

    shift = scale · (2 v − 1),  v = the first 53 bits of SHA-256(key ‖ ":" ‖ name) / 2⁵³,  key = SHA-256 of the phrase

A problem that takes part has an option `blind`, a `Blind`, and works in shifted parameters: whatever an engine sees,
and with it every file of a campaign, is shifted. chi2, losses and errors are those of the truth. The key stands in the
manifest; the phrase stands nowhere. It guards against accidents, not against somebody who computes the shift from the
key.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, field_validator

from campaign.errors import InvalidValue

OPTION = "blind"  # of a problem that takes part
_TAG = b"campaign.blind/1\n"
_MARK = "blinded"
_LEAST = 8  # characters of a phrase


class Blind(BaseModel):
    """Which parameters are shifted, by at most how much, and the key that the shifts follow from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(pattern=r"^[0-9a-f]{64}$", description="what `campaign blind` makes of a phrase")
    scale: dict[str, float] = Field(min_length=1, description="parameter: at most this far from the truth")

    @field_validator("scale")
    @classmethod
    def _are_sizes(cls, scale: dict[str, float]) -> dict[str, float]:
        for name, size in scale.items():
            if not (math.isfinite(size) and size > 0):
                raise InvalidValue(f"the scale of `{name}` is {size}", hint="a number above 0, in its units")
        return scale

    def shifts(self) -> dict[str, float]:
        """What is added to each parameter's true value where it is shown."""
        return {name: shift(self.key, name, size) for name, size in sorted(self.scale.items())}

    def unit(self, name: str, unit: str) -> str:
        """The unit of a parameter, with the word "blinded" where its values are shifted."""
        return f"{unit}, {_MARK}".lstrip(", ") if name in self.scale else unit


def key_of(phrase: str) -> str:
    """The key of a phrase; white space around it does not count.

    Raises:
        InvalidValue: shorter than 8 characters.
    """
    text = unicodedata.normalize("NFC", phrase).strip()
    if len(text) < _LEAST:
        raise InvalidValue(f"a phrase of {len(text)} characters is guessed by accident", hint=f"at least {_LEAST}")
    return hashlib.sha256(_TAG + text.encode()).hexdigest()


def shift(key: str, name: str, scale: float) -> float:
    """The offset of one parameter, uniform between −scale and scale.

    Checked: tests/unit/test_blinding.py, against SHA-256 by hand and for its distribution over many keys.
    """
    digest = hashlib.sha256(f"{key}:{name}".encode()).digest()
    fraction = (int.from_bytes(digest[:8], "big") >> 11) / 2.0**53
    return scale * (2.0 * fraction - 1.0)


def is_marked(unit: str) -> bool:
    """Whether a unit says that the values beside it are shifted."""
    return unit == _MARK or unit.endswith(f", {_MARK}")


def unmarked(unit: str) -> str:
    """A unit without the word "blinded" that `Blind.unit` adds to it."""
    return unit.removesuffix(_MARK).removesuffix(", ") if is_marked(unit) else unit


def blind_of(problem: Mapping[str, object]) -> Blind | None:
    """What a problem's document (name and options) says of blinding; None where it shows the truth."""
    found = problem.get(OPTION)
    return Blind.model_validate(found) if isinstance(found, Mapping) else None


def checked(blind: Blind, phrase: str) -> dict[str, float]:
    """The shifts, for who knows the phrase.

    Raises:
        InvalidValue: it is another one.
    """
    if key_of(phrase) != blind.key:
        raise InvalidValue("this is not the phrase that these parameters were blinded with")
    return blind.shifts()
