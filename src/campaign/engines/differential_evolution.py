"""Differential evolution: a global search in a box, generation by generation."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import OptimizeResult, differential_evolution

from campaign.engines.catalogue import DifferentialEvolutionOptions
from campaign.engines.host import NEVER, Asked, HostEngine, Lane, loss_at
from campaign.engines.outcome import Outcome
from campaign.errors import InvalidValue
from campaign.problem.target import Target


class DifferentialEvolution(HostEngine):
    """Minimise −ln L with scipy.optimize.differential_evolution, in z (see `host`); a step is a generation.

    The start is one of the first population, the others are a Latin hypercube of the box. A generation is evaluated at
    once and replaces the one before as a whole. The random numbers follow from root seed and run id. There is no
    polish: a following stage with `trf` or `scipy-lbfgsb` does that.

    The box is ``target.bounds()``. Where a bound is infinite it is the start ± `reach` typical changes, or an error
    when `reach` is 0. Where the model is not finite the loss counts as infinite.

    Ends as `converged` when the losses of the population spread (standard deviation) by at most
    `atol` + `tol`·|their mean|. That says that the population agrees, not that the minimum is the global one. As
    `nonfinite` when no point of the first population has a finite loss.

    Trace: ``spread`` is that standard deviation; infinite while a point has no finite loss.

    Attributes:
        strategy: as in scipy. Static.
        population: points a parameter, at least five together. Static.
        reach: see above. Static.
        mutation_low, mutation_high: the differential weight is drawn between them for each generation.
        recombination: probability of taking a parameter from the mutant.

    Source: Storn & Price 1997, J. Global Optim. 11, 341.
    Checked: tests/oracle/test_host_engines_scipy.py against scipy called bare, and the global minimum of Rastrigin.
    """

    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)
    strategy: str = eqx.field(static=True)
    population: int = eqx.field(static=True)
    reach: float = eqx.field(static=True)
    mutation_low: Float[Array, ""]
    mutation_high: Float[Array, ""]
    recombination: Float[Array, ""]
    tol: Float[Array, ""]
    atol: Float[Array, ""]
    measures: ClassVar[tuple[str, ...]] = ("spread",)
    name: ClassVar[str] = "differential-evolution"

    def check(self, target: Target) -> None:
        super().check(target)
        lower, upper = (np.asarray(side) for side in target.bounds())
        open_ended = [n for n, is_open in zip(target.space.names, ~np.isfinite(upper - lower), strict=True) if is_open]
        if open_ended and not self.reach:
            raise InvalidValue(
                f"engine `{self.name}` searches a box, and {', '.join(f'`{n}`' for n in open_ended)} has no finite one",
                hint="give the parameters bounds (a `logit` transform has none in u), or set `engine.reach`",
            )

    def functions(self, target: Target) -> dict[str, Asked]:
        d = len(target.space)
        n = max(5, self.population * d)  # as scipy counts
        return {"losses": Asked(lambda target, _, z: jax.lax.map(lambda one: loss_at(target, one), z), (n, d), n)}

    def minimise(self, lane: Lane) -> Outcome:
        engine: Any = lane.engine
        lower = np.where(np.isfinite(lane.lower), lane.lower, -self.reach)
        upper = np.where(np.isfinite(lane.upper), lane.upper, self.reach)
        is_first = True

        def losses(z: np.ndarray) -> np.ndarray:
            nonlocal is_first
            values = lane.ask("losses", z.T)
            if is_first:
                lane.record(lane.start, values[0], spread=_spread(values))
                is_first = False
                if not np.isfinite(values).any():
                    raise _NowhereError
            return np.where(np.isfinite(values), values, np.inf)

        def after(intermediate_result: OptimizeResult) -> None:
            spread = _spread(intermediate_result.population_energies)
            lane.record(intermediate_result.x, intermediate_result.fun, spread=spread)

        try:
            differential_evolution(
                losses,
                list(zip(lower.tolist(), upper.tolist(), strict=True)),
                x0=lane.start,
                strategy=self.strategy,
                popsize=self.population,
                mutation=(float(engine.mutation_low), float(engine.mutation_high)),
                recombination=float(engine.recombination),
                tol=float(engine.tol),
                atol=float(engine.atol),  # pyright: ignore[reportArgumentType]
                maxiter=NEVER,
                rng=lane.rng,
                callback=after,
                polish=False,
                updating="deferred",
                vectorized=True,
            )
        except _NowhereError:
            return Outcome.NONFINITE
        return Outcome.CONVERGED  # without limits of its own it has no other end


class _NowhereError(Exception):
    """No point of the first population has a finite loss."""


def _spread(losses: np.ndarray) -> float:
    return float(np.std(losses)) if np.isfinite(losses).all() else np.inf


def build(options: DifferentialEvolutionOptions) -> DifferentialEvolution:
    names = ("mutation_low", "mutation_high", "recombination", "tol", "atol")
    return DifferentialEvolution(**{**options.model_dump(), **{n: jnp.asarray(getattr(options, n)) for n in names}})
