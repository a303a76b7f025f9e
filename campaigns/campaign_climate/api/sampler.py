"""The ensemble sampler under the names of the design document: a face of the engine `ensemble`."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaign.science import Chain, InvalidValue, ProgressInfo, Sampling, progress_bar
from campaign_climate.api.calibration import calibration, pieces, space_of
from campaign_climate.api.estimator import highest

LEAST_WALKERS = 32
_METHODS = ("prior", "ball", "explicit", "map")
_RESTARTS = 10  # of the search for the highest posterior density


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkerInit:
    """Where walkers start.

    Attributes:
        method: "prior" draws them from the prior; "ball" around `center`, center + radius·N(0, 1); "laplace" from the
            Gaussian with the curvature of the posterior at `center`; "explicit" at `positions`.
        center: a value for each parameter, by name.
        radius: one for all, or a value for each parameter, by name.
        positions: a row a walker, in the order of the parameters.
    """

    method: str = "prior"
    center: dict[str, float] | None = None
    radius: dict[str, float] | None = None
    positions: list[list[float]] | None = None

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
        split: halves of the walkers: "random" before each update, or "even_odd".
        moves: how often each move is made: {"stretch": 1} when None; also "de", "snooker".
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
        split: str = "random",
        moves: dict[str, float] | None = None,
    ) -> None:
        own = pieces((*parts, target, runner, likelihood))
        self.space = space_of(parameters)
        self.problem = calibration(self.space, *own)
        d = len(self.space.free_names)
        self.n_walkers = max(2 * d, LEAST_WALKERS) if n_walkers is None else n_walkers
        self.stretch_scale, self.seed = stretch_scale, seed
        self.split, self.moves = split, dict(moves or {"stretch": 1.0})

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

    def initialize(
        self, method: str = "prior", center: Any = None, radius: Any = None, positions: Any = None
    ) -> WalkerInit:
        """Where walkers start.

        Args:
            method: "prior", "ball", "explicit", or "map": draws from the Laplace approximation where the posterior is
                highest, which is looked for from ten starts (models that JAX traces).
            center: of the ball, or where "map" looks from: values by name, or a vector in the order of the parameters.
            radius: of the ball: a number, values by name, or a vector.
            positions: of "explicit": (walkers, d).

        Raises:
            InvalidValue: a ball without centre or radius, or positions that walkers would never leave.
        """
        if method not in _METHODS:
            raise InvalidValue(f"walkers cannot start from `{method}`", hint=f"one of {', '.join(_METHODS)}")
        if method == "prior":
            return WalkerInit()
        if method == "explicit":
            rows = np.asarray(positions, np.float64)
            if rows.shape != (self.n_walkers, len(self.param_names)):
                raise InvalidValue(
                    f"`positions` have shape {rows.shape}, not ({self.n_walkers}, {len(self.param_names)})",
                    hint=f"a row a walker, a column for each of {', '.join(self.param_names)}",
                )
            return WalkerInit(method="explicit", positions=rows.tolist())
        if method == "map":
            best = highest(self.problem, self.space, _RESTARTS, self.seed) if center is None else self._named(center)
            return WalkerInit(method="laplace", center=best)
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
        progress: bool | Callable[[ProgressInfo], None] = False,
        checkpoint_every: int | None = None,
        checkpoint_path: str | os.PathLike[str] | None = None,
    ) -> Chain:
        """Run n_steps updates of every walker and keep each thin-th.

        Args:
            state: what `initialize` gave.
            n_steps: updates of every walker.
            thin: updates a stored row; a rest of n_steps that fills no row is not done.
            progress: True draws a bar on stderr; a function is called some hundred times with a `ProgressInfo`.
            checkpoint_every: updates between two writes of the file.
            checkpoint_path: a file that the chain is kept in, for `resume`; the one of this name is replaced. What
                stops the run, Ctrl-C too, leaves the file as it was after the last step.

        Returns:
            The chain; its `discard` counts steps.
        """
        if isinstance(state, int):  # rscm: run(n_steps, init)
            state, n_steps = (n_steps if isinstance(n_steps, WalkerInit) else WalkerInit()), state
        if not isinstance(n_steps, int):
            raise InvalidValue("`n_steps` is missing", hint="run(state, n_steps=10_000)")
        if checkpoint_every is not None and checkpoint_path is None:
            raise InvalidValue("`checkpoint_every` without a file", hint='checkpoint_path="chain.bin"')
        with ExitStack() as stack:
            told = stack.enter_context(progress_bar()) if progress is True else progress or None
            return self._sampling(state).run(n_steps, thin, progress=told, path=checkpoint_path, every=checkpoint_every)

    def run_with_progress(
        self, state: WalkerInit, n_steps: int, callback: Callable[[ProgressInfo], None], **options: Any
    ) -> Chain:
        """`run` with a function that is told how far it is."""
        return self.run(state, n_steps, progress=callback, **options)

    def resume(
        self,
        checkpoint_path: str | os.PathLike[str],
        n_steps: int,
        progress: bool | Callable[[ProgressInfo], None] = False,
        checkpoint_every: int | None = None,
    ) -> Chain:
        """Go on from a file for n_steps more updates, thinned as before; the file grows.

        Returns:
            Old and new rows: bit for bit the chain of one long run.

        Raises:
            DataFileError: no such file, or it is damaged.
            InvalidValue: it was written with other parameters, data, model, likelihood or walkers.
        """
        with ExitStack() as stack:
            told = stack.enter_context(progress_bar()) if progress is True else progress or None
            return self._sampling(WalkerInit()).resume(checkpoint_path, n_steps, progress=told, every=checkpoint_every)

    def _sampling(self, state: WalkerInit) -> Sampling:
        options = {
            "walkers": self.n_walkers,
            "burn_in": 0.0,
            "a": float(self.stretch_scale),
            "split": self.split,
            "moves": self.moves,
            "init": state.method,
        }
        if state.positions is not None:
            options["positions"] = state.positions
        return Sampling(
            problem=self.problem, options=options, start=state.center or {}, scale=state.radius, seed=self.seed
        )

    def _named(self, values: Any) -> dict[str, float]:
        own = dict(values) if hasattr(values, "keys") else dict(zip(self.param_names, np.asarray(values), strict=False))
        if set(own) != set(self.param_names):
            raise InvalidValue(f"values for {', '.join(own)}", hint=f"one for each of {', '.join(self.param_names)}")
        return {name: float(value) for name, value in own.items()}
