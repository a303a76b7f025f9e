"""The simplex of Nelder and Mead: needs nothing but the loss."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import OptimizeResult, minimize

from campaign.engines.catalogue import NelderMeadOptions
from campaign.engines.host import NEVER, Asked, HostEngine, Lane, loss_at
from campaign.engines.outcome import Outcome
from campaign.problem.target import Target


class NelderMead(HostEngine):
    """Minimise −ln L with scipy.optimize.minimize(method="Nelder-Mead"), in z (see `host`), bounds by clipping.

    The first simplex is the start and one point `simplex` typical changes away along each parameter. Where the model is
    not finite the loss counts as infinite.

    Ends as `converged` when the simplex is at most `xtol` typical changes wide and its losses differ by at most `ftol`.
    The method can stop at a point that is not a minimum (McKinnon 1998, SIAM J. Optim. 9, 148); a second run from there
    tells. As `nonfinite` when the loss at the start is not a number.

    Attributes:
        adaptive: coefficients that depend on the number of parameters, for more than about ten. Static.

    Source: Nelder & Mead 1965, Comput. J. 7, 308; adaptive: Gao & Han 2012, Comput. Optim. Appl. 51, 259.
    Checked: tests/oracle/test_host_engines_scipy.py against scipy called bare.
    """

    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)
    adaptive: bool = eqx.field(static=True)
    simplex: Float[Array, ""]
    xtol: Float[Array, ""]
    ftol: Float[Array, ""]
    name: ClassVar[str] = "nelder-mead"

    def functions(self, target: Target) -> dict[str, Asked]:
        return {"loss": Asked(lambda target, _, z: loss_at(target, z), (len(target.space),), 1)}

    def minimise(self, lane: Lane) -> Outcome:
        engine: Any = lane.engine
        first = lane.ask("loss", lane.start)
        lane.record(lane.start, first)
        if not np.isfinite(first):
            return Outcome.NONFINITE

        def loss(z: np.ndarray) -> float:
            value = first if not z.any() else lane.ask("loss", z)
            return float(value) if np.isfinite(value) else np.inf

        def after(intermediate_result: OptimizeResult) -> None:
            lane.record(intermediate_result.x, intermediate_result.fun)

        points = np.vstack([lane.start, float(engine.simplex) * np.eye(len(lane.start))])
        minimize(
            loss,
            lane.start,
            method="Nelder-Mead",
            bounds=lane.bounds,
            callback=after,
            options={
                "initial_simplex": points,
                "xatol": float(engine.xtol),
                "fatol": float(engine.ftol),
                "adaptive": self.adaptive,
                "maxiter": NEVER,
                "maxfev": NEVER,
            },
        )
        return Outcome.CONVERGED  # without limits of its own it has no other end


def build(options: NelderMeadOptions) -> NelderMead:
    floats = {name: jnp.asarray(getattr(options, name)) for name in ("simplex", "xtol", "ftol")}
    return NelderMead(**{**options.model_dump(), **floats})
