"""How far a sampler is: numbers for a function of the user's, or a bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressInfo:
    """How far a sampler is.

    Attributes:
        iteration: steps done, from 1. total_iterations: to do in all.
        acceptance_rate: accepted fraction of all proposals so far.
        mean_log_prob: mean ln posterior density of the walkers now, of those that have one.
        evaluations_per_s: model evaluations a second in this process. eta_s: seconds that are left.
        n_failures: proposals inside the prior where the model gave NaN or infinity.
    """

    iteration: int
    total_iterations: int
    acceptance_rate: float
    mean_log_prob: float
    evaluations_per_s: float
    eta_s: float
    n_failures: int


Progress = Callable[[ProgressInfo], None]


class Watch:
    """Tells how far a sampler is."""

    def __init__(
        self, steps: int, thin: int, progress: Progress | None, accepted: tuple[float, int], n_before: int
    ) -> None:
        self.total, self.thin, self.progress, self.n_before = steps // thin * thin, thin, progress, n_before
        self.accepted, self.n_rows = accepted
        self.done, self.began_at = n_before, time.monotonic()

    def tell(self, new: Mapping[str, np.ndarray], state: Any) -> None:
        """Call the user's function, if there is one.

        Args:
            new: theta, log_prob and accepted of the rows since the last call.
            state: of the engine.
        """
        if self.progress is None:
            return
        self.accepted, self.n_rows = self.accepted + float(new["accepted"].sum()), self.n_rows + len(new["accepted"])
        self.done += self.thin * len(new["theta"])
        speed = (self.done - self.n_before) / max(time.monotonic() - self.began_at, 1e-9)
        last = new["log_prob"][-1]
        self.progress(
            ProgressInfo(
                iteration=self.done,
                total_iterations=self.total,
                acceptance_rate=self.accepted / self.n_rows,
                mean_log_prob=float(last[np.isfinite(last)].mean()) if np.isfinite(last).any() else -np.inf,
                evaluations_per_s=speed * new["theta"].shape[1],
                eta_s=(self.total - self.done) / speed,
                n_failures=int(np.asarray(state.failures)[0, 1:].sum()) if hasattr(state, "failures") else 0,
            )
        )


@contextmanager
def progress_bar(what: str = "sampling") -> Iterator[Progress]:
    """A bar on stderr; gives what `Sampling.run` takes as `progress`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, note="")

        def tell(info: ProgressInfo) -> None:
            note = f"accepted {info.acceptance_rate:.0%}, ln posterior {info.mean_log_prob:.1f}"
            bar.update(task, completed=info.iteration, total=info.total_iterations, note=note)

        yield tell
