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
from campaign.engines.errors import errors_of
from campaign.engines.host import NEVER, PROMISED, Asked, HostEngine, HostState, Lane, is_free, place, projected_norm
from campaign.engines.linear import covariance
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
    `ftol` of it, as predicted; or is shorter than `xtol` of |z|. In the latter two cases a Gauss–Newton step must not
    promise more than 100·`ftol` of the loss, or 5·10⁻⁵ (a hundredth of a standard error), else it has `stalled`: a step
    that was cut short is no minimum. As `nonfinite` when residuals or Jacobian are not numbers where it stands.

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

        def linearised(target: Target, engine: ScipyTrf, z: Float[Array, " d"]) -> tuple[Array, Array, Array, Array]:
            """J, the gradient of the loss by z, the loss, and the variance of a residual."""
            residuals, rows = with_derivative(target.residuals, target, place(target, z), kind)
            rows = rows * scale_of_u(target)[:, None]
            weights = weighted(engine.loss, residuals, engine.f_scale)
            pull = residuals if weights.gradient is None else weights.gradient * residuals
            variance = 2.0 * weights.value / jnp.maximum(target.n_data - d - target.n_profiled, 1)
            return rows.T, rows @ pull, weights.value, jnp.where(target.problem.absolute_sigma, 1.0, variance)

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
            _, slope, loss, _ = ask("linearised", z)
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
        matrix, slope, loss, variance = ask("linearised", found.x)
        length = np.sqrt(np.sum(matrix**2, axis=0))
        is_loose = is_free(lane, found.x, slope, AT_BOUND / np.where(length > 0, length, np.inf))
        bound = max(PROMISED * float(variance), 100.0 * float(engine.ftol) * float(loss))
        is_done = found.status == 1 or _promised(matrix[:, is_loose], slope[is_loose]) <= bound
        return Outcome.CONVERGED if found.success and is_done else Outcome.STALLED

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
        matrix = target.covariance(state.u, fit.matrix)
        errors = errors_of(target, target.theta(state.u), matrix, fit, 2.0 * state.loss)
        return plain._replace(
            stderr=errors.stderr,
            at_bound=at_bound,
            unidentified=errors.unidentified,
            metrics={**plain.metrics, "condition": fit.condition},
            arrays={"covariance": errors.covariance},
        )

    def fields(self, target: Target) -> dict[str, Field]:
        return {**super().fields(target), "covariance": Field(("parameter", "parameter_b"), once=True)}


def _promised(matrix: np.ndarray, slope: np.ndarray) -> float:
    """What a Gauss–Newton step gains: ½ gᵀ(JᵀJ)⁻¹g, over the directions that the residuals depend on."""
    _, s, right = np.linalg.svd(matrix, full_matrices=False)
    is_seen = s > np.finfo(float).eps * max(matrix.shape) * np.max(s, initial=0.0)
    return 0.5 * float(np.sum((right[is_seen] @ slope / s[is_seen]) ** 2))


class _UndefinedError(Exception):
    """The Jacobian is not a number at a point that was accepted."""


def build(options: ScipyTrfOptions) -> ScipyTrf:
    floats = {name: jnp.asarray(getattr(options, name)) for name in ("f_scale", "ftol", "xtol", "gtol")}
    return ScipyTrf(**{**options.model_dump(), **floats})
