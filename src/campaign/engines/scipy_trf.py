"""Bounded least squares by scipy's trust region: beside `trf`, and for models that JAX cannot differentiate."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import OptimizeResult, least_squares

from campaign.engines.base import Field, Result
from campaign.engines.catalogue import ScipyTrfOptions
from campaign.engines.derivative import Kind, kind_of, n_evaluations, scale_of_u, with_derivative
from campaign.engines.host import NEVER, Asked, HostEngine, HostState, Lane, place, projected_norm
from campaign.engines.linear import by_scatter, covariance, diagonal
from campaign.engines.loss import weighted
from campaign.engines.outcome import Outcome
from campaign.errors import InvalidValue
from campaign.problem.target import Target

AT_BOUND = 1e-6  # standard errors, other parameters held: so near a bound is on it, which scipy's iterates never are


class ScipyTrf(HostEngine):
    """Minimise ½ Σ f² ρ((r_i/f)²) with scipy.optimize.least_squares(method="trf"), in z (see `host`), x_scale="jac".

    The Jacobian is exact where JAX can differentiate the model (it counts as d evaluations), else by finite differences
    of batched evaluations (2 d). Standard errors and covariance follow from it as in `trf`.

    Ends as `converged` by scipy's criteria: the scaled gradient is below `gtol`; or a step lowers the loss by less than
    `ftol` of it, as predicted; or is shorter than `xtol` of |z|. As `nonfinite` when residuals or Jacobian are not
    numbers where it stands.

    Its iterates stay strictly inside the bounds and approach them.

    Attributes:
        loss, f_scale: as in `trf`. `loss` is static.
        derivatives: "auto", or "finite" for finite differences in any case. Static.

    Source: Branch, Coleman & Li 1999, SIAM J. Sci. Comput. 21, 1.
    Checked: tests/oracle/test_host_engines_scipy.py against scipy called bare, and NIST.
    """

    max_steps: int = eqx.field(static=True)
    chunk_steps: int = eqx.field(static=True)
    loss: str = eqx.field(static=True)
    derivatives: str = eqx.field(static=True)
    f_scale: Float[Array, ""]
    ftol: Float[Array, ""]
    xtol: Float[Array, ""]
    gtol: Float[Array, ""]
    measures: ClassVar[tuple[str, ...]] = ("grad_norm",)
    name: ClassVar[str] = "scipy-trf"

    def check(self, target: Target) -> None:
        if not target.has_residuals:
            raise InvalidValue(
                f"engine `{self.name}` needs residuals, and `{target.name}` has none",
                hint="give the problem `residuals`, or use the engine `scipy-lbfgsb` or `nelder-mead`",
            )

    def functions(self, target: Target) -> dict[str, Asked]:
        d, kind = len(target.space), self._kind(target)

        def linearised(target: Target, engine: ScipyTrf, z: Float[Array, " d"]) -> tuple[Array, Array, Array]:
            """J, the gradient of the loss by z, and the loss."""
            residuals, rows = with_derivative(target.residuals, target, place(target, z), kind)
            rows = rows * scale_of_u(target)[:, None]
            weights = weighted(engine.loss, residuals, engine.f_scale)
            pull = residuals if weights.gradient is None else weights.gradient * residuals
            return rows.T, rows @ pull, weights.value

        return {
            "residuals": Asked(lambda target, _, z: target.residuals(place(target, z)), (d,), 1),
            "linearised": Asked(linearised, (d,), n_evaluations(kind, d) - 1),
        }

    def _kind(self, target: Target) -> Kind:
        return "finite" if self.derivatives == "finite" else kind_of(lambda t, u: t.residuals(u), target)

    def minimise(self, lane: Lane) -> Outcome:
        engine: Any = lane.engine
        answers: dict[str, tuple[bytes, Any]] = {}  # the latest of each function

        def ask(name: str, z: np.ndarray) -> Any:
            if name not in answers or answers[name][0] != z.tobytes():
                answers[name] = z.tobytes(), lane.ask(name, z)
            return answers[name][1]

        def norm_and_loss(z: np.ndarray) -> tuple[float, float]:
            _, slope, loss = ask("linearised", z)
            return projected_norm(lane, z, slope), float(loss)

        def jacobian(z: np.ndarray) -> np.ndarray:
            found = ask("linearised", z)[0]
            if not np.isfinite(found).all():
                raise _UndefinedError
            return found.copy()  # scipy scales it in place

        def after(intermediate_result: OptimizeResult) -> None:
            norm, loss = norm_and_loss(intermediate_result.x)
            lane.record(intermediate_result.x, loss, grad_norm=norm)

        is_defined = np.isfinite(ask("residuals", lane.start)).all()
        norm, loss = norm_and_loss(lane.start)
        lane.record(lane.start, loss, grad_norm=norm)
        if not is_defined:
            return Outcome.NONFINITE
        try:
            found = least_squares(
                lambda z: ask("residuals", z).copy(),
                lane.start,
                jacobian,  # pyright: ignore[reportArgumentType]
                (lane.lower, lane.upper),
                method="trf",
                ftol=float(engine.ftol),
                xtol=float(engine.xtol),
                gtol=float(engine.gtol),
                x_scale="jac",
                loss=self.loss,
                f_scale=float(engine.f_scale),
                max_nfev=NEVER,
                callback=after,
            )
        except _UndefinedError:
            return Outcome.NONFINITE
        return Outcome.CONVERGED if found.success else Outcome.STALLED

    def finish(self, target: Target, state: HostState) -> Result:
        """As the base, with covariance and standard errors from J."""
        plain = super().finish(target, state)
        residuals, rows = with_derivative(target.residuals, target, state.u, self._kind(target))
        weights = weighted(self.loss, residuals, self.f_scale)
        if weights.curvature is not None:
            rows = rows * jnp.sqrt(weights.curvature)[None, :]
        length = jnp.sqrt(jnp.sum(rows * rows, axis=1))
        at_bound = target.at_bound(state.u, jnp.where(length > 0, AT_BOUND / jnp.where(length > 0, length, 1.0), 0.0))
        fit = covariance(rows, at_bound != 0)
        matrix, unidentified = target.covariance(state.u, fit.matrix), fit.unidentified
        if not target.is_absolute:
            dof = residuals.shape[0] - fit.rank - target.n_profiled
            matrix, unidentified = by_scatter(matrix, unidentified, 2.0 * state.loss, dof)
        matrix = jnp.where(jnp.isfinite(state.loss), matrix, jnp.nan)
        return plain._replace(
            stderr=jnp.sqrt(diagonal(matrix)),
            at_bound=at_bound,
            unidentified=unidentified,
            metrics={**plain.metrics, "condition": fit.condition},
            arrays={"covariance": matrix},
        )

    def fields(self, target: Target) -> dict[str, Field]:
        return {**super().fields(target), "covariance": Field(("parameter", "parameter_b"), once=True)}


class _UndefinedError(Exception):
    """The Jacobian is not a number at a point that was accepted."""


def build(options: ScipyTrfOptions) -> ScipyTrf:
    floats = {name: jnp.asarray(getattr(options, name)) for name in ("f_scale", "ftol", "xtol", "gtol")}
    return ScipyTrf(**{**options.model_dump(), **floats})
