"""Engines whose algorithm runs on the host, such as scipy's, on the contract of the compiled ones.

An engine says which functions of the model it needs; they are compiled once a program. Runs go one after another, each
in a thread of its own that is held after every chunk of steps (`stepwise`).

All of them work in z = (u − u at the start) / typical change of u, so that tolerances and steps mean the same for every
parameter, inside the box that ``target.bounds()`` gives. What they minimise is the loss −ln L; priors do not enter, as
in `trf`. A trace begins with the start itself: its first step is the evaluation there.

The inner state of such an algorithm cannot be saved. A checkpoint holds where each run stands, and a resumed run is
started again and led silently to that step: everything is deterministic, so it goes on bit for bit, but what was
computed before is computed a second time.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from campaign.engines.base import DescribedEngine, Field, Result
from campaign.engines.derivative import scale_of_u
from campaign.engines.outcome import Outcome
from campaign.engines.stepwise import Stepwise
from campaign.errors import InvalidValue
from campaign.problem.target import Target

NEVER = 2**31 - 1  # a limit of steps or evaluations for scipy: the loop counts them
PROMISED = 5e-5  # of the loss, that is still to be gained: a hundredth of a standard error


class HostState(NamedTuple):
    """Where a run stands.

    Attributes:
        u: best point so far.
        loss, loss_initial: there, and at the start; NaN before the first step.
        n_evaluations: model evaluations so far.
        measures: the further numbers that the engine traces, at the last step.
        words, seed: what the run's random numbers follow from.
    """

    u: Float[Array, " d"]
    loss: Float[Array, ""]
    loss_initial: Float[Array, ""]
    n_evaluations: Int[Array, ""]
    measures: dict[str, Float[Array, ""]]
    words: Array
    seed: Array


class Asked(NamedTuple):
    """A function that an engine asks the model.

    Attributes:
        call: (target, engine, z) → a tree of arrays.
        shape: of z.
        n_evaluations: what one call counts as.
    """

    call: Callable[[Target, Any, Array], Any]
    shape: tuple[int, ...]
    n_evaluations: int


class Record(NamedTuple):
    """One step of a run."""

    z: np.ndarray
    loss: float
    n_evaluations: int
    measures: Mapping[str, float]


class Lane:
    """One run, as an engine's `minimise` sees it.

    Attributes:
        engine: with this run's options.
        lower, upper: the box of z; the start is z = 0.
        rng: the run's random numbers, from root seed and run id.
    """

    def __init__(
        self,
        steps: Stepwise,
        engine: HostEngine,
        ask: Mapping[str, Callable[[np.ndarray], tuple[Any, int]]],
        box: tuple[np.ndarray, np.ndarray],
        entropy: list[int],
    ) -> None:
        self.engine = engine
        self.lower, self.upper = box
        self.rng = np.random.default_rng(entropy)
        self._steps, self._ask, self._n_evaluations = steps, ask, 0

    @property
    def start(self) -> np.ndarray:
        return np.zeros_like(self.lower)

    @property
    def bounds(self) -> list[tuple[float, float]] | None:
        """As scipy wants them; None where there are none."""
        if not (np.isfinite(self.lower) | np.isfinite(self.upper)).any():
            return None
        return list(zip(self.lower.tolist(), self.upper.tolist(), strict=True))

    def ask(self, name: str, z: np.ndarray) -> Any:
        """One of the engine's `functions` at z."""
        self._steps.before_evaluation()
        value, n = self._ask[name](z)
        self._n_evaluations += n
        return value

    def record(self, z: np.ndarray, loss: float, **measures: float) -> None:
        """A step is done: it ended at z."""
        self._steps.record(Record(np.array(z, float), float(loss), self._n_evaluations, measures))


class HostEngine(DescribedEngine):
    """An algorithm that runs on the host. Its steps include the evaluation of the start.

    Attributes:
        measures: further numbers that every step records.
        name: as manifests write it, for messages.
    """

    measures: ClassVar[tuple[str, ...]] = ()
    name: ClassVar[str] = "host"

    @abstractmethod
    def functions(self, target: Target) -> dict[str, Asked]:
        """What it asks the model, by name. `target` is that of one run and holds shapes and types only."""

    @abstractmethod
    def minimise(self, lane: Lane) -> Outcome:
        """Run to the end: `ask` the functions, `record` the start and every iteration. On the host; deterministic."""

    def check(self, target: Target) -> None:
        """Whether it can run this problem at all.

        Raises:
            InvalidValue: it cannot.
        """
        if not target.has_likelihood:
            raise InvalidValue(
                f"engine `{self.name}` needs a likelihood, and `{target.name}` has none",
                hint="give the problem `residuals` or `log_likelihood`, or use the engine `evaluate`",
            )

    def finish(self, target: Target, state: HostState) -> Result:
        """What goes into the summary. No errors are estimated. Compiled."""
        return Result.of(
            target.theta(state.u),
            state.loss,
            state.loss_initial,
            n_evaluations=state.n_evaluations,
            at_bound=target.at_bound(state.u),
            metrics=self.metrics(target, state),
        )

    def metrics(self, target: Target, state: HostState) -> dict[str, Array]:
        """χ² and counts where the problem has residuals, and the last `measures`."""
        found: dict[str, Array] = {}
        if target.has_residuals:
            residuals = target.residuals(state.u)
            found = {
                "chi2": jnp.sum(residuals * residuals),
                "n_data": jnp.asarray(target.n_data, jnp.int32),
                "n_free": jnp.asarray(state.u.shape[0], jnp.int32),
            }
        return found | state.measures

    def fields(self, target: Target) -> dict[str, Field]:
        scalars = dict.fromkeys(("loss", "n_evaluations", *self.measures), Field())
        return {**scalars, "theta": Field(("parameter",))}


def box(target: Target) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """The bounds of z."""
    lower, upper = target.bounds()
    start, scale = target.start(), scale_of_u(target)
    return (lower - start) / scale, (upper - start) / scale


def place(target: Target, z: Float[Array, " d"]) -> Float[Array, " d"]:
    """u at z, never outside the bounds, and on a bound where z is."""
    u = target.start() + scale_of_u(target) * z
    eps = jnp.finfo(u.dtype).eps
    for bound, end in zip(target.bounds(), box(target), strict=True):
        u = jnp.where(jnp.isfinite(end) & (jnp.abs(z - end) <= 4.0 * eps * jnp.abs(end)), bound, u)
    return jnp.clip(u, *target.bounds())


def loss_at(target: Target, z: Float[Array, " d"]) -> Float[Array, ""]:
    """−ln L at z."""
    return -target.log_likelihood(place(target, z))


def projected_norm(lane: Lane, z: np.ndarray, slope: np.ndarray) -> float:
    """Largest component of the gradient by z, of a step down it that the bounds leave."""
    return float(np.max(np.abs(np.clip(z - slope, lane.lower, lane.upper) - z), initial=0.0))


def is_free(lane: Lane, z: np.ndarray, slope: np.ndarray, near: np.ndarray | float = 0.0) -> np.ndarray:
    """Which coordinates a step down the gradient by z may move: not those `near` a bound that it pushes at."""
    return ~(((z <= lane.lower + near) & (slope > 0)) | ((z >= lane.upper - near) & (slope < 0)))
