"""Limited-memory BFGS in a box: scipy's L-BFGS-B."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import OptimizeResult, minimize

from campaign.engines.catalogue import LbfgsbOptions
from campaign.engines.derivative import Kind, kind_of, n_evaluations, scale_of_u, with_derivative
from campaign.engines.host import NEVER, PROMISED, Asked, HostEngine, Lane, is_free, place, projected_norm
from campaign.engines.outcome import Outcome
from campaign.problem.target import Target


class Lbfgsb(HostEngine):
    """Minimise −ln L with scipy.optimize.minimize(method="L-BFGS-B"), in z (see `host`).

    Gradients are exact where JAX can differentiate the model, else finite differences of batched evaluations; a reverse
    mode gradient counts as one evaluation with its value, d more in forward mode, 2 d more by finite differences.

    A trial point where the model is not finite counts as L + max(1, |L|) of the best loss L, with slope 0: the line
    search shortens its step.

    Ends as `converged` when one of these holds; ``metric.grad_norm`` tells which:
        * the largest component of the projected gradient, per typical change of a parameter, is at most `gtol`;
        * a step lowers the loss by at most `ftol`·max(|L|, 1), and the quasi-Newton model promises no more than
          100 times that, or 5·10⁻⁵ (a hundredth of a standard error): a line search that was cut short is no minimum.
    As `stalled` when that is promised, or when the line search finds no lower point: often the minimum, to the rounding
    of the loss. As `nonfinite` when loss or gradient at the start are not numbers.

    Attributes:
        memory: corrections that are kept. Static.
        derivatives: "auto", or "finite" for finite differences in any case. Static.

    Source: Byrd, Lu, Nocedal & Zhu 1995, SIAM J. Sci. Comput. 16, 1190.
    Checked: tests/oracle/test_host_engines_scipy.py against scipy called bare, and NIST.
    """

    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)
    memory: int = eqx.field(static=True)
    derivatives: str = eqx.field(static=True)
    ftol: Float[Array, ""]
    gtol: Float[Array, ""]
    measures: ClassVar[tuple[str, ...]] = ("grad_norm",)
    name: ClassVar[str] = "scipy-lbfgsb"

    def functions(self, target: Target) -> dict[str, Asked]:
        kind: Kind = "finite" if self.derivatives == "finite" else kind_of(_loss, target)

        def gradient(target: Target, engine: Lbfgsb, z: Float[Array, " d"]) -> tuple[Array, Array]:
            value, slope = with_derivative(lambda u: _loss(target, u), target, place(target, z), kind)
            return value, slope * scale_of_u(target)

        d = len(target.space)
        return {"gradient": Asked(gradient, (d,), n_evaluations(kind, d))}

    def minimise(self, lane: Lane) -> Outcome:
        engine: Lbfgsb = lane.engine  # pyright: ignore[reportAssignmentType]
        value, slope = lane.ask("gradient", lane.start)
        norm = projected_norm(lane, lane.start, slope)
        lane.record(lane.start, value, grad_norm=norm)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            return Outcome.NONFINITE
        best, asked = float(value), {lane.start.tobytes(): (value, slope)}  # the latest point, and its answer

        def answer(z: np.ndarray) -> tuple[float, np.ndarray]:
            if z.tobytes() not in asked:
                value, slope = lane.ask("gradient", z)
                if not (np.isfinite(value) and np.isfinite(slope).all()):
                    value, slope = best + max(1.0, abs(best)), np.zeros_like(slope)
                asked.clear()
                asked[z.tobytes()] = value, slope
            return asked[z.tobytes()]

        def after(intermediate_result: OptimizeResult) -> None:
            nonlocal best
            z, value = intermediate_result.x, float(intermediate_result.fun)
            best = min(best, value)
            lane.record(z, value, grad_norm=projected_norm(lane, z, answer(z)[1]))

        limits = {"maxiter": NEVER, "maxfun": NEVER, "maxcor": self.memory}
        found = minimize(
            answer,
            lane.start,
            jac=True,
            method="L-BFGS-B",
            bounds=lane.bounds,
            callback=after,
            options={"ftol": float(engine.ftol), "gtol": float(engine.gtol), **limits},
        )
        z, loss, slope = found.x, float(found.fun), answer(found.x)[1]
        down = np.where(is_free(lane, z, slope), slope, 0.0)
        promised = 0.5 * float(down @ found.hess_inv.dot(down))
        is_done = promised <= max(PROMISED, 100.0 * float(engine.ftol) * max(abs(loss), 1.0))
        return Outcome.CONVERGED if found.success and is_done else Outcome.STALLED


def _loss(target: Target, u: Float[Array, " d"]) -> Float[Array, ""]:
    return -target.log_likelihood(u)


def build(options: LbfgsbOptions) -> Lbfgsb:
    return Lbfgsb(**{**options.model_dump(), "ftol": jnp.asarray(options.ftol), "gtol": jnp.asarray(options.gtol)})
