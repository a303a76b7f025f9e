"""How a run ended: one enumeration, with the text for people. No JAX."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """How a run ended. The number travels through compiled programs; the label is in summaries.

    Attributes:
        message: what it means, and what to do about it.
        is_ok: the run gave a result that may be used; its status is "ok", else "failed".
    """

    message: str
    is_ok: bool

    def __new__(cls, code: int, is_ok: bool, message: str) -> Outcome:
        member = int.__new__(cls, code)
        member._value_ = code
        member.is_ok = is_ok
        member.message = message
        return member

    RUNNING = 0, False, "not finished"
    CONVERGED = 1, True, "the engine's convergence criterion is met"
    BUDGET = 2, True, "the step budget is used up before convergence: raise `engine.max_steps` or start closer"
    STALLED = 3, True, "no step makes progress and the convergence test is not met: rescale, or try another start"
    NONFINITE = 4, False, "the model gave NaN or infinity at the engine's position"
    DIVERGED = 5, False, "the parameters or the loss ran away"
    ERROR = 6, False, "the run raised an exception"
    TIMEOUT = 7, False, "it ran longer than `timeout_s`: raise it, or set `retry.timeout`"
    LOST = 8, False, "its workers died repeatedly: see `campaign logs`"
    DEGENERATE = 9, True, "the result is none of the stated model"

    @property
    def label(self) -> str:
        """As summaries spell it."""
        return self.name.lower()


OK_OUTCOMES = frozenset(outcome.label for outcome in Outcome if outcome.is_ok)
