"""What an engine is: `init`, `step`, `outcome`, `finish`. Pure, jittable, no I/O, no clock."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from campaign.engines.monitor import Monitor
from campaign.engines.outcome import OK_OUTCOMES, Outcome
from campaign.problem.target import Target

__all__ = ["OK_OUTCOMES", "AbstractEngine", "DescribedEngine", "Field", "Info", "Outcome", "Result", "State"]

State = Any  # a PyTree of arrays: what the next step needs
Info = dict[str, Array]  # what a person may want to see of a step; becomes the trace


@dataclass(frozen=True, slots=True)
class Field:
    """How one array of a run is recorded.

    Attributes:
        dims: names of its axes.
        joined: steps are concatenated along the first axis, which is this long in the end (the last step's surplus rows
            are NaN). None: a step axis comes before `dims`.
        once: it belongs to ``Result.arrays`` and has no step axis.
        is_default: recorded by ``"trace": true``; otherwise only where the manifest names it.
    """

    dims: tuple[str, ...] = ()
    joined: int | None = None
    once: bool = False
    is_default: bool = True


class Result(NamedTuple):
    """What a run leaves in its summary, all in theta (physical) units. Made by `Result.of`.

    Attributes:
        theta: the free parameters at the end: best fit, or posterior mean.
        stderr: standard errors; NaN where the data give none (unidentified, or at a bound); None when the engine does
            not estimate any, which is not a finding and belongs in no list of non-finite fields.
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

    @classmethod
    def of(
        cls,
        theta: Float[Array, " d"],
        loss: Float[Array, ""],
        loss_initial: Float[Array, ""] | None = None,
        *,
        stderr: Float[Array, " d"] | None = None,
        n_evaluations: Int[Array, ""] | int = 1,
        at_bound: Int[Array, " d"] | None = None,
        unidentified: Array | None = None,
        metrics: Mapping[str, Array] | None = None,
        arrays: Mapping[str, Array] | None = None,
    ) -> Result:
        """A result of which only what the engine knows is given: nothing at a bound, nothing unidentified, no errors.

        `loss_initial` is `loss` where nothing moved.
        """
        d = theta.shape[0]
        return cls(
            theta=theta,
            stderr=stderr,
            loss=loss,
            loss_initial=loss if loss_initial is None else loss_initial,
            n_evaluations=jnp.asarray(n_evaluations, jnp.int32),
            at_bound=jnp.zeros(d, jnp.int32) if at_bound is None else at_bound,
            unidentified=jnp.zeros(d, bool) if unidentified is None else unidentified,
            metrics=dict(metrics or {}),
            arrays=dict(arrays or {}),
        )


class DescribedEngine(eqx.Module):
    """What an engine says about itself, wherever it runs: in a compiled program, or on the host (`HostEngine`).

    Attributes:
        max_steps: the most steps of one run. Static.
        chunk_steps: steps between two hand-overs of trace and checkpoint. Static.
        asks_start_only: whether the model is evaluated where a run starts and nowhere else: all runs' at once then.
    """

    max_steps: eqx.AbstractVar[int]
    chunk_steps: eqx.AbstractVar[int]
    asks_start_only: ClassVar[bool] = False

    def fields(self, target: Target) -> dict[str, Field]:
        """Each entry of `Info` and of ``Result.arrays``, as it is recorded.

        `target` is that of one run and may hold shapes and types only. What is not named here has its axes by number,
        or as the problem's `coordinates` name them.
        """
        return {"loss": Field(), "theta": Field(("parameter",))}

    def at_budget(self) -> int:
        """Outcome of a run whose steps are used up. A sampler has converged then, unless `remarks` finds something."""
        return Outcome.BUDGET

    def n_steps(self, target: Target) -> int:
        """The most steps for this target, static: `max_steps`, unless the amount of data decides."""
        return self.max_steps

    def monitor(self, n_runs: int) -> Monitor | None:
        """What judges runs by their whole trace while it passes by; None where `finish` says everything."""
        return None

    def remarks(self, metrics: Mapping[str, np.ndarray]) -> list[str] | None:
        """What is wrong with runs that did all their steps, by their metrics (one value a run); "" where nothing is.

        It becomes the summary's ``message``, and the outcome is "budget": more steps were needed. None: nothing to say
        about any run.
        """
        return None

    def notes(self, metrics: Mapping[str, np.ndarray], names: Sequence[str] = ()) -> list[str] | None:
        """What else a person should know of each run, "" where nothing: added to ``message``; the outcome stays.

        `names` are those of the free parameters.
        """
        return None


class AbstractEngine(DescribedEngine):
    """An inference algorithm.

    The loop calls, under `jit`, for every run: `init` once; `prepare` before each chunk of steps; `step` until
    `outcome` is not 0 or `n_steps` steps are done (then the outcome is `at_budget`); `finish` once. A step never needs
    to guard against being called after the end: the loop freezes finished runs.
    """

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

    def settled(self, state: State, found: Mapping[str, Any]) -> State:
        """The state with what the engine's monitor knows of the whole trace, by names of its fields."""
        return state._replace(**{k: jnp.asarray(v, getattr(state, k).dtype) for k, v in found.items()})

    def prepare(self, target: Target, state: State) -> State:
        """Called once before each chunk of steps, outside their loop: for what is dear and needed now and then."""
        return state
