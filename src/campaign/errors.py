"""The errors that a user may meet, as one tree.

::

    CampaignError                 exit 1  something inside went wrong
    ├── UsageError                exit 2  the command line or the call is off
    ├── ManifestError             exit 3  the manifest is invalid; carries every diagnostic at once
    ├── UnknownName (KeyError)    exit 3  no such problem, engine, parameter, stage, run …
    ├── InvalidValue (ValueError) exit 3  a value outside what is valid
    ├── DataFileError             exit 3  an input file is missing, changed or malformed
    ├── PolicyStop                exit 5  the failure policy ended the campaign
    ├── Unavailable               exit 6  an executor, device, scheduler or file system cannot be used
    ├── Incomplete                exit 7  runs are left; `campaign resume` continues
    ├── Locked                    exit 8  another driver holds the campaign
    └── Damage                    exit 9  what is on disk contradicts itself

Every message has the form: what, where, the value seen, what is valid, the next command.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

_NEAR = 0.6  # likeness from which a name is taken for a slip of the pen
_MAX_NEAR = 3
_MAX_LISTED = 12  # valid names that a hint lists


class CampaignError(Exception):
    """Root of all errors that `campaign` raises on purpose.

    Args:
        message: what, where and the value seen, in one sentence.
        hint: what is valid and the next command, or None.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    def __reduce__(self):  # survives the trip back from a worker process
        return (_rebuild, (type(self), self.message, self.hint, self.__dict__.copy()))


def _rebuild(cls: type[CampaignError], message: str, hint: str | None, state: dict) -> CampaignError:
    error = cls.__new__(cls)
    CampaignError.__init__(error, message, hint=hint)
    error.__dict__.update(state)
    return error


class UsageError(CampaignError):
    """The command line or the call is off."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One thing wrong with a manifest: where (a JSON pointer), what, and how to fix it."""

    place: str
    message: str
    hint: str | None = None

    @classmethod
    def of(cls, place: str, error: CampaignError) -> Diagnostic:
        """An error as a finding at a place."""
        return cls(place=place, message=error.message, hint=error.hint)

    def __str__(self) -> str:
        return f"{self.place or '/'}: {self.message}" + (f"; {self.hint}" if self.hint else "")


class ManifestError(CampaignError):
    """The manifest is invalid. `diagnostics` holds every finding."""

    exit_code = 3

    def __init__(self, diagnostics: Iterable[Diagnostic], *, source: str = "manifest") -> None:
        self.diagnostics = tuple(diagnostics)
        self.source = source
        super().__init__("\n".join(f"{source}: {d}" for d in self.diagnostics))


class UnknownName(CampaignError, KeyError):
    """A name that is not in the list of valid ones."""

    exit_code = 3
    __str__ = CampaignError.__str__


class InvalidValue(CampaignError, ValueError):
    """A value outside what is valid."""

    exit_code = 3


class DataFileError(CampaignError, OSError):
    """An input file is missing, changed or malformed."""

    exit_code = 3
    __str__ = CampaignError.__str__


class PolicyStop(CampaignError):
    """The failure policy ended the campaign."""

    exit_code = 5


class Unavailable(CampaignError):
    """An executor, device, scheduler or file system cannot be used."""

    exit_code = 6


class Incomplete(CampaignError):
    """Runs are left to do; `campaign resume` continues."""

    exit_code = 7


class Locked(CampaignError):
    """Another driver holds the campaign."""

    exit_code = 8


class Damage(CampaignError):
    """What is on disk contradicts itself."""

    exit_code = 9


def nearest(name: str, valid: Iterable[str]) -> str:
    """The hint for an unknown name: the nearest valid one, whatever its case, or the valid ones, nearest first.

    A name without its group is near too: `rate` to `theta.rate`.
    """
    options = {str(v) for v in valid}
    likeness = {option: _likeness(str(name).casefold(), option.casefold()) for option in options}
    ordered = sorted(options, key=lambda option: (-likeness[option], option))
    if ordered and likeness[ordered[0]] >= _NEAR:
        near = [option for option in ordered if likeness[option] == likeness[ordered[0]]][:_MAX_NEAR]
        return f"did you mean {' or '.join(f'`{option}`' for option in near)}?"
    if len(ordered) <= _MAX_LISTED:
        ordered = sorted(ordered)
    shown = ", ".join(f"`{option}`" for option in ordered[:_MAX_LISTED])
    more = f", … ({len(ordered)} in all)" if len(ordered) > _MAX_LISTED else ""
    return f"valid: {shown}{more}" if shown else "there are none"


def _likeness(name: str, option: str) -> float:
    """1 for equal names, 0 for names without a common letter; a little less than 1 where only the group is missing."""
    ratio = difflib.SequenceMatcher(None, name, option).ratio()
    tail = option.rpartition(".")[2]
    return ratio if tail == option else max(ratio, 0.95 * difflib.SequenceMatcher(None, name, tail).ratio())
