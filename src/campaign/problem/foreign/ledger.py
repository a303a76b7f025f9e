"""The runs of this process that use foreign models: who evaluates them, what failed, what is known already.

A compiled program is shared by many runs and knows none of them. So a problem carries two numbers as arrays: `handle`
(which evaluator) and `run` (which run). The calls that come out of a compiled program bring both, and find here what
they mean. Nothing here raises into a compiled program: that would end the whole block.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np

from campaign.problem.foreign.differences import combined, stencil
from campaign.problem.foreign.evaluator import ERROR, Answers, Evaluator, Failure

UNKNOWN, PADDING = -1, -2  # a run that nobody opened; a lane without a run
REPEATED = 1e-11  # of the largest value: sums whose order changes differ less
MEMORY = 32 << 20  # bytes of values that are remembered: engines ask for the same theta again when they finish


class Held:
    """Keeps an evaluator alive, and says nothing else of it: models that differ in it share a program."""

    __slots__ = ("__weakref__", "ends_run", "evaluator")

    def __init__(self, evaluator: Evaluator, *, ends_run: bool = True) -> None:
        self.evaluator = evaluator
        self.ends_run = ends_run

    def __eq__(self, other: object) -> bool:
        return type(other) is Held

    def __hash__(self) -> int:
        return hash(Held)


@dataclass(slots=True)
class Account:
    """One open run.

    Attributes:
        held: its evaluator.
        n_failures: evaluations that failed.
        failure: the last of them.
        is_repeatable: whether the model has given the same values twice; None: nobody has looked.
    """

    held: Held
    n_failures: int = 0
    failure: Failure | None = None
    is_repeatable: bool | None = None

    @property
    def has_ended(self) -> bool:
        return self.failure is not None and self.held.ends_run


_numbers = itertools.count(1)
_known: WeakValueDictionary[int, Held] = WeakValueDictionary()
_accounts: dict[int, Account] = {}
_memory: OrderedDict[tuple[int, int, bytes], np.ndarray] = OrderedDict()
_bytes = 0
_lock = threading.RLock()


def register(held: Held) -> int:
    """A handle by which compiled programs name an evaluator, as long as somebody keeps `held`."""
    number = next(_numbers)
    _known[number] = held
    return number


def open_runs(handles: Iterable[int]) -> np.ndarray:
    """Numbers for runs that begin now, one a handle. Each must be closed."""
    numbers = []
    for handle in handles:
        numbers.append(next(_numbers))
        _accounts[numbers[-1]] = Account(_known[int(handle)])
    return np.array(numbers, np.int64)


def close_runs(runs: Iterable[int]) -> list[Account]:
    """End runs, and what became of each."""
    global _bytes
    with _lock:
        closed = [_accounts.pop(int(run)) for run in runs if int(run) in _accounts]
        if not _accounts:
            _memory.clear()
            _bytes = 0
    return closed


def values(theta: np.ndarray, handle: np.ndarray, run: np.ndarray, size: int) -> np.ndarray:
    """Outputs (…, M) at theta (…, d); NaN where an evaluation failed, or one of the same run failed before."""
    shape = np.shape(theta)[:-1]
    rows = np.reshape(np.asarray(theta, np.float64), (-1, np.shape(theta)[-1]))
    handles, runs = (np.broadcast_to(one, shape).reshape(-1) for one in (handle, run))
    return _values(rows, handles, runs, size).reshape(*shape, size)


def linearised(
    theta: np.ndarray,
    handle: np.ndarray,
    run: np.ndarray,
    moves: np.ndarray,
    box: tuple[np.ndarray, np.ndarray, np.ndarray],
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Outputs (…, M) and their derivatives (…, M, d): the model's own, or central differences, all in one batch.

    Args:
        theta: (…, d).
        handle, run: (…).
        moves: (…, d), which parameters derivatives are wanted for.
        box: scale, lower and upper of the parameters, each (d,).
        size: M.
    """
    shape, d = np.shape(theta)[:-1], np.shape(theta)[-1]
    rows = np.reshape(np.asarray(theta, np.float64), (-1, d))
    moving = np.broadcast_to(moves, (*shape, d)).reshape(-1, d)
    handles, runs = (np.broadcast_to(one, shape).reshape(-1) for one in (handle, run))
    out, slopes = np.full((len(rows), size), np.nan), np.full((len(rows), size, d), np.nan)
    rules = {}
    for i, x in enumerate(rows):
        own = _own_jacobian(x, int(handles[i]), int(runs[i]), size)
        if own is None:
            rules[i] = stencil(x, *box, moving[i])
        else:
            slopes[i] = own
            rules[i] = None
    points = [rows[i : i + 1] if rule is None else rule.points for i, rule in rules.items()]
    lengths = [len(one) for one in points]
    if lengths:
        found = _values(np.concatenate(points), np.repeat(handles, lengths), np.repeat(runs, lengths), size)
        for (i, rule), part in zip(rules.items(), np.split(found, np.cumsum(lengths)[:-1]), strict=True):
            out[i] = part[0]
            if rule is not None and _is_repeatable(rows[i], part[0], int(handles[i]), int(runs[i])):
                slopes[i] = combined(rule, part)
    return out.reshape(*shape, size), slopes.reshape(*shape, size, d)


def _is_repeatable(theta: np.ndarray, value: np.ndarray, handle: int, run: int) -> bool:
    """Whether differences of a model are derivatives: called again at one theta, it gives the same values.

    Looked at once a run. Where it does not, the run has a failure that says so: the noise of a model with random
    numbers or a memory, divided by h, would pass for a steep slope, and its error bars for small ones.
    """
    account = _accounts.get(run)
    if account is None or account.is_repeatable is not None or not np.isfinite(value).all():
        return account is None or account.is_repeatable is not False
    held = _held(handle, run)
    if held is None:
        return False
    again = _safely(lambda: _checked(held.evaluator.evaluate(theta[None]), len(value)))
    if again is None or again.failure is not None or not len(again.values):
        account.is_repeatable = False
        failure = again.failure if again is not None else None
        _note(run, failure or Failure(outcome=ERROR, message="the model gave no values when it was called again"))
        return False
    change = np.max(np.abs(again.values[0] - value), initial=0.0)
    account.is_repeatable = bool(change <= REPEATED * np.max(np.abs(value), initial=0.0))
    if not account.is_repeatable:
        message = (
            f"the model is called again with the same parameters and gives values that differ by {change:.3g}: "
            "derivatives by differences need a function of the parameters alone (fixed random numbers, no memory)"
        )
        _note(run, Failure(outcome=ERROR, message=message))
    return account.is_repeatable


def _own_jacobian(theta: np.ndarray, handle: int, run: int, size: int) -> np.ndarray | None:
    """The model's own derivatives, NaN when they failed; None where it has none."""
    held = _held(handle, run)
    if held is None:
        return np.full((size, len(theta)), np.nan)
    answers = _safely(lambda: held.evaluator.jacobian(theta))
    if answers is None:
        return None
    if answers.failure is not None:
        _note(run, answers.failure)
        return np.full((size, len(theta)), np.nan)
    return answers.values.reshape(size, len(theta))


def _values(theta: np.ndarray, handles: np.ndarray, runs: np.ndarray, size: int) -> np.ndarray:
    out = np.full((len(theta), size), np.nan)
    for handle in dict.fromkeys(handles.tolist()):
        rows = np.flatnonzero(handles == handle).tolist()
        keys = {i: (handle, int(runs[i]), theta[i].tobytes()) for i in rows}
        pending = []
        for i in rows:
            known = _memory.get(keys[i])
            if known is not None:
                out[i] = known
            else:
                pending.append(i)
        while pending := [i for i in pending if _held(handle, int(runs[i])) is not None]:
            held = _held(handle, int(runs[pending[0]]))
            batch = theta[pending]
            answers = _safely(lambda: _checked(held.evaluator.evaluate(batch), size))  # noqa: B023
            n_good = min(len(answers.values), len(pending))
            for i, value in zip(pending[:n_good], answers.values, strict=False):
                out[i] = value
                _remember(keys[i], out[i])
            if answers.failure is None:
                break
            if n_good < len(pending):
                _note(int(runs[pending[n_good]]), answers.failure)
            pending = pending[n_good + 1 :]
    return out


def _checked(answers: Answers, size: int) -> Answers:
    if len(answers.values) and answers.values.shape[1] != size:
        message = f"the model gave {answers.values.shape[1]} values, and {size} were announced"
        return Answers(answers.values[:0], Failure(outcome=ERROR, message=message))
    return answers


def _held(handle: int, run: int) -> Held | None:
    """Who evaluates for a run; None when its end is known, or nobody does."""
    if run == PADDING:
        return None
    account = _accounts.get(run)
    if account is None:
        return _known.get(handle)
    return None if account.has_ended else account.held


def _note(run: int, failure: Failure) -> None:
    account = _accounts.get(run)
    if account is not None:
        account.n_failures += 1
        account.failure = failure


def _remember(key: tuple[int, int, bytes], value: np.ndarray) -> None:
    global _bytes
    with _lock:
        if key[1] not in _accounts or value.nbytes > MEMORY or key in _memory:
            return
        _memory[key] = value.copy()
        _bytes += value.nbytes
        while _bytes > MEMORY:
            _bytes -= _memory.popitem(last=False)[1].nbytes


def _safely(call: Callable[[], Answers | None]) -> Answers | None:
    """An evaluator's answer; its own exception, which is a bug of ours, as a failure."""
    try:
        return call()
    except Exception as error:
        return Answers(np.empty((0, 0)), Failure(outcome=ERROR, message=f"{type(error).__name__}: {error}"))
