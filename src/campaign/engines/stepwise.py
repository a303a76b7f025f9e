"""A routine that runs to its end by itself, made to stop after every so many steps: it has its own thread.

Routines such as scipy's call back and do not return before they are done. The thread and its owner take turns, so at
any time one of them works.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from campaign.engines.outcome import Outcome
from campaign.engines.xla import settled


class _Closed(BaseException):
    """Unwinds a routine whose owner wants no more of it. No `Exception`, so that no routine catches it."""


class Stepwise:
    """Steps of a routine on demand.

    The routine calls `record` after every step and `before_evaluation` before it asks the model anything. There it is
    held when all wanted steps are recorded: so it is known whether a step was the last one, and nothing is computed
    that nobody asked for.

    Attributes:
        n_done: steps handed out.
        outcome: how the routine ended; RUNNING before.
    """

    def __init__(self, routine: Callable[[Stepwise], Outcome]) -> None:
        self.n_done = 0
        self.outcome = Outcome.RUNNING
        self._routine = routine
        self._records: list[Any] = []
        self._wanted = 0
        self._is_closing = False
        self._error: BaseException | None = None
        self._mine, self._yours = threading.Semaphore(0), threading.Semaphore(0)
        self._thread: threading.Thread | None = None

    # -- the owner's side -------------------------------------------------------------------------------------------

    def until(self, n: int) -> list[Any]:
        """Go on until `n` steps are done since the beginning, or to the end: what was recorded of the new ones.

        Raises:
            what the routine raised.
        """
        self._wanted = n
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="campaign-host-engine", daemon=True)
            self._thread.start()
        else:
            self._yours.release()
        self._mine.acquire()
        if self._error is not None:
            raise self._error
        records, self._records = self._records, []
        self.n_done += len(records)
        return records

    def close(self) -> None:
        """End the routine where it is; returns when its thread has ended."""
        if self._thread is not None:
            self._is_closing = True
            self._yours.release()
            self._thread.join()

    def _run(self) -> None:
        try:
            with settled(), np.errstate(all="ignore"):
                self.outcome = self._routine(self)
        except _Closed:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._mine.release()

    # -- the routine's side -----------------------------------------------------------------------------------------

    def record(self, record: Any) -> None:
        """One step is done."""
        self._records.append(record)

    def before_evaluation(self) -> None:
        """Wait here until another step is wanted."""
        if self.n_done + len(self._records) >= self._wanted and not self._is_closing:
            self._mine.release()
            self._yours.acquire()
        if self._is_closing:
            raise _Closed
