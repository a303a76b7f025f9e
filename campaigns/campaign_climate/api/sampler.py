"""The ensemble sampler under the names of the design document: a face of the engine `ensemble`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.science import Chain, InvalidValue, Unavailable, fits
from campaign_climate.api.calibration import calibration, pieces, space_of

LEAST_WALKERS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkerInit:
    """Where walkers start.

    Attributes:
        method: "prior" draws them from the prior; "ball" around `center`, center + radius·N(0, 1).
        center: a value for each parameter, by name.
        radius: one for all, or a value for each parameter, by name.
    """

    method: str = "prior"
    center: dict[str, float] | None = None
    radius: dict[str, float] | None = None

    @classmethod
    def from_prior(cls) -> WalkerInit:
        return cls()


class EnsembleSampler:
    """Affine-invariant ensemble sampler (Goodman & Weare 2010) of a calibration.

    Args:
        parameters: a `ParameterSet`, or a mapping name → prior.
        target, runner, likelihood: in this order, or by name; rscm's order (runner, likelihood, target) works too.
        n_walkers: even; None is max(2d, 32).
        stretch_scale: a of the stretch move.
        seed: all random numbers follow from it.
    """

    def __init__(
        self,
        parameters: Any,
        *parts: Any,
        target: Any = None,
        runner: Any = None,
        likelihood: Any = None,
        n_walkers: int | None = None,
        stretch_scale: float = 2.0,
        seed: int = 0,
    ) -> None:
        own = pieces((*parts, target, runner, likelihood))
        self.space = space_of(parameters)
        self.problem = calibration(self.space, *own)
        d = len(self.space.free_names)
        self.n_walkers = max(2 * d, LEAST_WALKERS) if n_walkers is None else n_walkers
        self.stretch_scale, self.seed = stretch_scale, seed

    @property
    def param_names(self) -> tuple[str, ...]:
        return self.space.free_names

    def default_n_walkers(self) -> int:
        return max(2 * len(self.param_names), LEAST_WALKERS)

    def with_n_walkers(self, n_walkers: int) -> EnsembleSampler:
        """The same sampler with another number of walkers."""
        other = object.__new__(EnsembleSampler)
        other.__dict__.update(self.__dict__ | {"n_walkers": n_walkers})
        return other

    def initialize(self, method: str = "prior", center: Any = None, radius: Any = None) -> WalkerInit:
        """Where walkers start.

        Args:
            method: "prior" or "ball".
            center: of the ball: values by name, or a vector in the order of the parameters.
            radius: of the ball: a number, values by name, or a vector.

        Raises:
            InvalidValue: a ball without centre or radius.
            Unavailable: "explicit" and "map" are not there yet.
        """
        if method in ("explicit", "map"):
            raise Unavailable(f"walkers cannot start from `{method}` yet", hint='"prior" and "ball" are there')
        if method not in ("prior", "ball"):
            raise InvalidValue(f"walkers cannot start from `{method}`", hint='"prior" or "ball"')
        if method == "prior":
            return WalkerInit()
        if center is None or radius is None:
            raise InvalidValue("a ball has a centre and a radius", hint='initialize("ball", center={…}, radius=0.1)')
        width = (
            np.full(len(self.param_names), radius) if np.ndim(radius) == 0 and not hasattr(radius, "keys") else radius
        )
        return WalkerInit(method="ball", center=self._named(center), radius=self._named(width))

    def run(
        self,
        state: WalkerInit | int,
        n_steps: int | WalkerInit | None = None,
        thin: int = 1,
        progress: bool = False,
        checkpoint_every: int | None = None,
        checkpoint_path: Any = None,
    ) -> Chain:
        """Run n_steps updates of every walker and keep each thin-th.

        Args:
            state: what `initialize` gave.
            n_steps: updates of every walker.
            thin: must divide n_steps.

        Returns:
            The chain; its `discard` counts steps.

        Raises:
            Unavailable: checkpoints in memory; `campaign submit` has them.
        """
        if isinstance(state, int):  # rscm: run(n_steps, init)
            state, n_steps = (n_steps if isinstance(n_steps, WalkerInit) else WalkerInit()), state
        if not isinstance(n_steps, int):
            raise InvalidValue("`n_steps` is missing", hint="run(state, n_steps=10_000)")
        if checkpoint_every is not None or checkpoint_path is not None or progress:
            raise Unavailable(
                "progress and checkpoints are not there for a sampler in memory yet",
                hint="leave them out, or run the problem `two-layer` with `campaign submit`, which has both",
            )
        fit = fits(
            self.problem,
            "ensemble",
            [state.center or {}],
            seed=self.seed,
            scale=state.radius,
            engine_options={
                "walkers": self.n_walkers,
                "steps": n_steps,
                "thin": thin,
                "burn_in": 0.0,
                "a": float(self.stretch_scale),
                "init": state.method,
            },
        )[0]
        return Chain(
            samples=fit.trace["theta"],
            log_probs=fit.trace["log_prob"],
            names=self.param_names,
            units=tuple(self.space[name].unit for name in self.param_names),
            thin=thin,
            n_steps=n_steps,
            accepted=fit.trace["accepted"],
        )

    def resume(self, checkpoint_path: Any, n_steps: int) -> Chain:
        """Go on from a checkpoint: not there yet.

        Raises:
            Unavailable: always.
        """
        raise Unavailable(
            "a sampler in memory cannot go on from a file yet",
            hint="`campaign submit`, `campaign resume` and `campaign extend` can, with the problem `two-layer`",
        )

    def _named(self, values: Any) -> dict[str, float]:
        own = dict(values) if hasattr(values, "keys") else dict(zip(self.param_names, np.asarray(values), strict=False))
        if set(own) != set(self.param_names):
            raise InvalidValue(f"values for {', '.join(own)}", hint=f"one for each of {', '.join(self.param_names)}")
        return {name: float(value) for name, value in own.items()}
