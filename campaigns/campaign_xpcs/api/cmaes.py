"""`CMAESWrapper`: global search and refinement of any function of a few parameters, by the document's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from campaign.science import Fit, InvalidValue, Parameter, Problem, PythonModel, ThetaSpace, fit, start_jax
from campaign_xpcs.api.search import compute_scale_ratio, diagnostics, searched
from campaign_xpcs.data.cmaes_config import CMAESWrapperConfig

Bounds = tuple[Any, Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class CMAESResult:
    """What a global search gave.

    Attributes:
        parameters: the best.
        covariance: of the refinement; None without one: a search gives no errors.
        chi_squared: Σ ((y − f)/σ)² there.
        success: the refinement converged; without one: the search did.
        diagnostics: `generations`, `evaluations`, `restarts`, `chi_squared_improvement` (part of the start's χ²), …
        method_used: "cmaes".
        nlsq_refined: the refinement converged.
        message: how it ended.
    """

    parameters: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"] | None
    chi_squared: float
    success: bool
    diagnostics: dict[str, Any] = field(default_factory=dict)
    method_used: str = "cmaes"
    nlsq_refined: bool = False
    message: str = ""


class CMAESWrapper:
    """CMA-ES with restarts, then least squares.

    Args:
        config: settings; None: defaults.

    Checked: tests/unit/xpcs/test_xpcs_document.py, the document's example, and a function of NumPy.
    """

    def __init__(self, config: CMAESWrapperConfig | None = None) -> None:
        self.config = CMAESWrapperConfig() if config is None else config

    @property
    def is_available(self) -> bool:
        """Always: the engine comes with `campaign`."""
        return True

    def compute_scale_ratio(self, bounds: Bounds) -> float:
        """max(upper − lower) / min(upper − lower)."""
        return compute_scale_ratio(bounds)

    def should_use_cmaes(self, bounds: Bounds, scale_threshold: float | None = None) -> bool:
        """Whether the scale ratio is above the threshold; None: the configuration's. Always without `auto_select`."""
        limit = self.config.scale_threshold if scale_threshold is None else scale_threshold
        return not self.config.auto_select or self.compute_scale_ratio(bounds) > limit

    def fit(
        self,
        model_func: Callable[..., Any],
        xdata: Any,
        ydata: Any,
        p0: Sequence[float] | np.ndarray,
        bounds: Bounds,
        sigma: Any = None,
    ) -> CMAESResult:
        """Fit ``model_func(xdata, *parameters)`` to data.

        The result is never worse than `p0`, which is the first point of the search.

        Args:
            model_func: of JAX, or any Python function, which then runs in a process of its own.
            ydata: of the shape that it returns.
            bounds: (lower, upper), finite.
            sigma: errors, a number or of the shape of `ydata`; None: 1, and the covariance is scaled by χ² per degree
                of freedom.

        Raises:
            InvalidValue: bounds that are not finite, or `p0` outside.
        """
        problem = _problem(model_func, xdata, ydata, p0, bounds, sigma)
        names = problem.space.names
        start = dict(zip(names, np.asarray(p0, float).tolist(), strict=True))
        found = searched(problem, start, self.config)
        told = diagnostics(found)
        if not self.config.refine_with_nlsq:
            return _result(problem, found, told, covariance=None)
        own = self.config
        refined = fit(
            problem,
            "trf",
            found.theta,
            engine_options={
                "max_steps": own.refinement_max_nfev,
                "ftol": own.refinement_ftol,
                "xtol": own.refinement_xtol,
                "gtol": own.refinement_gtol,
                "loss": own.refinement_loss,
            },
        )
        told["refinement_outcome"] = refined.outcome
        is_better = np.isfinite(refined.loss) and (own.refinement_loss != "linear" or refined.loss <= found.loss)
        if not is_better:
            told["refinement_rejected"] = f"χ² {2 * refined.loss:g} instead of {2 * found.loss:g}"
            return _result(problem, found, told, covariance=None)
        before = float(found.loss_initial)
        if np.isfinite(before) and before > 0 and own.refinement_loss == "linear":
            told["chi_squared_improvement"] = (before - refined.loss) / before
        return _result(problem, refined, told, covariance=np.asarray(refined.arrays["covariance"]))


class _Function(Problem):
    """(f(x, *theta) − y)/σ of a JAX function."""

    space: ThetaSpace = eqx.field(static=True)
    function: Callable[..., Any] = eqx.field(static=True)
    x: Any
    y: Float[Array, " n"]
    weight: Float[Array, " n"]
    has_sigma: bool = eqx.field(static=True)

    @property
    def absolute_sigma(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.has_sigma

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " n"]:
        model = self.function(self.x, *[theta[i] for i in range(len(self.space))])
        return (jnp.reshape(model, -1) - self.y) * self.weight


def _problem(function: Callable[..., Any], xdata: Any, ydata: Any, p0: Any, bounds: Bounds, sigma: Any) -> Problem:
    lower, upper = (np.broadcast_to(np.asarray(b, float), np.shape(p0)) for b in bounds)
    if not (np.isfinite(lower) & np.isfinite(upper) & (lower < upper)).all():
        raise InvalidValue("bounds are not finite, or crossed", hint="(lower, upper) with lower < upper, all finite")
    start = np.asarray(p0, float)
    if not ((start >= lower) & (start <= upper)).all():
        at = int(np.argmax((start < lower) | (start > upper)))
        raise InvalidValue(f"p0[{at}] is {start[at]:g}", hint=f"valid: {lower[at]:g} to {upper[at]:g}")
    known = tuple(
        Parameter(name=f"p[{i}]", initial=float(s), lower=float(low), upper=float(high), scale=0.1 * float(high - low))
        for i, (s, low, high) in enumerate(zip(start, lower, upper, strict=True))
    )
    start_jax()
    y = np.asarray(ydata, float)
    errors = np.broadcast_to(np.asarray(1.0 if sigma is None else sigma, float), y.shape)
    x = jax.tree.map(jnp.asarray, xdata)
    try:
        jax.eval_shape(lambda theta: function(x, *[theta[i] for i in range(len(known))]), jnp.asarray(start))
    except Exception:  # it cannot be traced: any Python function
        return PythonModel(
            lambda own, theta: np.asarray(function(own, *theta)), known, data=y, sigma=sigma, x=xdata, call="array"
        )
    flat = jnp.asarray(y.reshape(-1))
    return _Function(ThetaSpace(known), function, x, flat, jnp.asarray(1.0 / errors.reshape(-1)), sigma is not None)


def _result(problem: Problem, found: Fit, told: dict[str, Any], covariance: np.ndarray | None) -> CMAESResult:
    chi2 = found.metric.get("chi2", 2.0 * found.loss)
    return CMAESResult(
        parameters=np.array([found.theta[name] for name in problem.space.names]),
        covariance=covariance,
        chi_squared=float(chi2),
        success=found.outcome == "converged",
        diagnostics=told,
        nlsq_refined=covariance is not None and found.outcome == "converged",
        message=found.message or f"ended as {found.outcome}",
    )
