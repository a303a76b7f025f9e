"""What an engine is: `init`, `step`, `outcome`, `finish`. Pure, jittable, no I/O, no clock."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from campaign.problem.target import Target

State = Any  # a PyTree of arrays: what the next step needs
Info = dict[str, Array]  # what a person may want to see of a step; becomes the trace


class Result(NamedTuple):
    """What a run leaves in its summary, all in theta (physical) units.

    Attributes:
        theta: the free parameters at the end: best fit, or posterior mean.
        stderr: standard errors; NaN where the data give none (unidentified, or at a bound); None when the engine does
            not estimate any, which is no finding and belongs in no list of non-finite fields.
        loss: −ln L at theta up to a constant; ½ r·r for least squares.
        loss_initial: the same at the start.
        n_evaluations: model evaluations (a Jacobian counts as d).
        at_bound: per free parameter: −1 at its lower bound, +1 at its upper, 0 inside.
        unidentified: per free parameter: whether it takes part in a direction that the data do not constrain.
        metrics: further named scalars → ``metric.<name>``.
        arrays: further named arrays without a step axis → Zarr, dims (run, …): covariance, predictions.
    """

    theta: Float[Array, " d"]
    stderr: Float[Array, " d"] | None
    loss: Float[Array, ""]
    loss_initial: Float[Array, ""]
    n_evaluations: Int[Array, ""]
    at_bound: Int[Array, " d"]
    unidentified: Array
    metrics: dict[str, Array]
    arrays: dict[str, Array]


class Outcome:
    """How a run ended. 0 is running; every code has a message for the user."""

    RUNNING, CONVERGED, BUDGET, STALLED, NONFINITE, DIVERGED, ERROR, TIMEOUT = range(8)


OUTCOMES: tuple[tuple[str, str], ...] = (
    ("running", "not finished"),
    ("converged", "the engine's own criterion is met"),
    ("budget", "the step budget is used up before convergence: raise `engine.max_steps` or start closer"),
    ("stalled", "no step makes progress and the convergence test is not met: rescale, or try another start"),
    ("nonfinite", "the model gave NaN or infinity where the engine stood"),
    ("diverged", "the parameters or the loss ran away"),
    ("error", "the run raised an exception"),
    ("timeout", "its time was up before the engine's end: raise `timeout_s`, or ask for `retry.timeout`"),
)
OK_OUTCOMES = frozenset({"converged", "budget", "stalled"})


class AbstractEngine(eqx.Module):
    """An inference algorithm.

    The loop calls, under `jit`, for every run: `init` once; `step` until `outcome` is not 0 or `max_steps` steps are
    done (then the outcome is `at_budget`); `finish` once. A step never needs to guard against being called after the
    end: the loop freezes finished runs.

    Attributes:
        max_steps: the most steps of one run. Static.
        chunk_steps: steps between two hand-overs of trace and checkpoint. Static.
    """

    max_steps: eqx.AbstractVar[int]
    chunk_steps: eqx.AbstractVar[int]

    @abstractmethod
    def init(self, target: Target, key: PRNGKeyArray) -> State:
        """State before the first step, at ``target.start()``. All leaves are arrays of fixed shape."""

    @abstractmethod
    def step(self, target: Target, state: State) -> tuple[State, Info]:
        """One step, and what to trace of it. `Info` holds at least ``loss`` (scalar)."""

    @abstractmethod
    def outcome(self, state: State) -> Int[Array, ""]:
        """0 while running, else a code of `Outcome`."""

    @abstractmethod
    def finish(self, target: Target, state: State) -> Result:
        """What goes into the summary."""

    def at_budget(self) -> int:
        """Outcome of a run whose steps are used up. A sampler has converged then, if `remark` finds nothing."""
        return Outcome.BUDGET

    def n_steps(self, target: Target) -> int:
        """The most steps for this target, static: `max_steps`, unless the amount of data decides."""
        return self.max_steps

    def concatenated_length(self, target: Target) -> int:
        """Length of the ``"+name"`` dimension of `trace_dims`, static. The last step's surplus rows are NaN."""
        raise NotImplementedError

    def trace_dims(self) -> dict[str, tuple[str, ...]]:
        """Names of the dimensions of each `Info` entry after (run, step), for example ``{"theta": ("parameter",)}``.

        A first dimension written ``"+name"`` means: steps are concatenated along `name` instead of getting a step axis.
        """
        return {"theta": ("parameter",)}

    def array_dims(self) -> dict[str, tuple[str, ...]]:
        """The same for ``Result.arrays``, after (run,)."""
        return {}

    def diagnose(self, trace: dict[str, np.ndarray]) -> dict[str, float]:
        """Host-side scalars from one run's whole trace (R-hat, ESS), in NumPy → ``metric.<name>``. Default: none.

        `trace` holds the arrays that `diagnose_fields` names, shape (n_steps, …).
        """
        return {}

    def diagnose_fields(self) -> tuple[str, ...]:
        return ()

    def remark(self, metrics: dict[str, float]) -> str:
        """What is wrong with a run that did all its steps, from all its metrics; "" when nothing is.

        It becomes the summary's ``message``, and the outcome is "budget": more steps were needed.
        """
        return ""
