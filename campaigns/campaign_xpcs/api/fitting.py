"""One least-squares fit with its strategy, its path, its attempts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from campaign.science import CampaignError, Fit, Problem, fit
from campaign_xpcs.api.attempts import Attempts, Run, attempted, default_ladder, document_ladder
from campaign_xpcs.api.inputs import Request
from campaign_xpcs.api.layers import weighted_covariance
from campaign_xpcs.api.result import OptimizationResult, build_result
from campaign_xpcs.api.search import bounds_of, good_starts
from campaign_xpcs.api.strategy import NLSQStrategy, StrategyDecision, select_nlsq_strategy
from campaign_xpcs.data.nlsq_config import NLSQConfig
from campaign_xpcs.judge.flags import Evidence

FORCED = {"standard": "standard", "streaming": "out_of_core", "out_of_core": "out_of_core", "hybrid": "hybrid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """How a fit runs.

    Attributes:
        engine: "varpro", or "trf" where nothing can be eliminated.
        adapter: "NLSQAdapter", the cached path with all points at once; "NLSQWrapper", chunks.
        n_chunks: of the data.
    """

    engine: str
    adapter: str
    decision: StrategyDecision
    strategy: NLSQStrategy
    n_chunks: int
    options: Mapping[str, Any]


def path_of(problem: Problem, config: NLSQConfig, n_rows: int, forced: str | None = None) -> Path:
    """The path of a fit of so many rows."""
    engine = "varpro" if problem.linear() else "trf"
    decision = select_nlsq_strategy(n_rows, len(problem.space.free_names), rule=config.strategy_rule)
    strategy = decision.strategy if forced is None else NLSQStrategy(FORCED[forced])
    cached = config.use_adapter and strategy is NLSQStrategy.STANDARD
    options: dict[str, Any] = {
        "max_steps": config.max_iterations,
        "ftol": config.ftol,
        "xtol": config.xtol,
        "gtol": config.gtol,
        "loss": config.loss,
    }
    chunk = config.target_chunk_size
    if strategy is NLSQStrategy.HYBRID_STREAMING:
        chunk = min(chunk, 50_000)
    if not cached:
        options["chunk"] = min(chunk, n_rows)
    return Path(
        engine=engine,
        adapter="NLSQAdapter" if cached else "NLSQWrapper",
        decision=decision,
        strategy=strategy,
        n_chunks=1 if cached else -(-n_rows // chunk),
        options=options,
    )


def run_path(problem: Problem, path: Path) -> Run:
    """A fit from a start, with options over those of the path."""

    def run(start: Mapping[str, float], options: Mapping[str, Any]) -> Fit:
        known = {name: start[name] for name in problem.space.free_names if name in start}
        return fit(problem, path.engine, known, engine_options={**path.options, **options})

    return run


def with_fallback(problem: Problem, path: Path, config: NLSQConfig, n_rows: int, make: Callable = run_path):
    """The path's run; where the cached path raises, the chunked one takes its place, and says why.

    Returns:
        The run, and what is said: a mapping that is empty until it happens.
    """
    said: dict[str, Any] = {}
    current = {"path": path, "run": make(problem, path)}

    def run(start: Mapping[str, float], options: Mapping[str, Any]) -> Fit:
        try:
            return current["run"](start, options)
        except CampaignError:
            raise
        except (ArithmeticError, MemoryError, RuntimeError) as error:
            if current["path"].adapter != "NLSQAdapter":
                raise
            said["fallback_occurred"] = True
            said["fallback_reason"] = f"{type(error).__name__}: {error}"
            other = path_of(problem, replace_adapter(config), n_rows)
            current["path"], current["run"] = other, make(problem, other)
            return current["run"](start, options)

    return run, said, current


def replace_adapter(config: NLSQConfig) -> NLSQConfig:
    """The same settings on the chunked path."""
    return config.model_copy(update={"use_adapter": False})


def fitted(
    request: Request,
    problem: Problem,
    start: Mapping[str, float],
    *,
    forced: str | None = None,
    about: Mapping[str, Any] | None = None,
    make: Callable = run_path,
    measured: Problem | None = None,
    weights: np.ndarray | None = None,
) -> OptimizationResult:
    """Fit a problem from a start, with the attempts of the configuration.

    Args:
        measured: the problem whose χ² is reported, where it is another one.
        weights: of the angles in `problem`, which `measured` does not have.
    """
    began = time.perf_counter()
    config = request.nlsq
    n_rows = request.maps.n_rows
    path = path_of(problem, config, n_rows, forced)
    run, said, current = with_fallback(problem, path, config, n_rows, make)
    most = config.max_recovery_attempts if config.enable_recovery else 1
    made = attempted(run, start, _ladder(request, problem, config), most)
    used: Path = current["path"]
    device = {
        "adapter": used.adapter,
        "fallback_occurred": False,
        "strategy": used.strategy.value,
        "recovery_actions": made.actions,
        "peak_memory_gb": used.decision.peak_memory_gb,
        "n_chunks": used.n_chunks,
        "attempts": [one.as_json() for one in made.history],
        "strategy_reason": used.decision.reason if forced is None else f"asked for: {forced}",
        "engine": used.engine,
        "loss": config.loss,
        **said,
        **(about or {}),
    }
    if path.strategy is NLSQStrategy.HYBRID_STREAMING:
        device["strategy_note"] = (
            "the maps are in memory already: chunks of them are passed over; "
            "a manifest with `held`, or `stored_maps`, leaves them in their file"
        )
    seconds = time.perf_counter() - began
    return assembled(request, problem, made, device, seconds, measured=measured, weights=weights)


def assembled(
    request: Request,
    problem: Problem,
    made: Attempts,
    device: Mapping[str, Any],
    seconds: float,
    *,
    measured: Problem | None = None,
    weights: np.ndarray | None = None,
) -> OptimizationResult:
    """The result of attempts: the best of them, and how the last of them ended where none has a loss."""
    names, free = problem.space.names, problem.space.free_names
    found, outcome = made.best, made.best_outcome
    last = made.history[-1]
    n_data = request.maps.n_points
    if found is None:
        initial = dict(zip(names, np.asarray(problem.space.initial).tolist(), strict=True)) | dict(made.start)
        parameters = np.array([initial[name] for name in names])
        covariance, chi2, steps = np.full((len(free), len(free)), np.nan), float("nan"), 0
        evidence = Evidence(outcome=last.outcome, reduced_chi_squared=float("nan"))
        message = last.message or last.outcome
    else:
        parameters = np.array([found.theta[name] for name in names])
        covariance = np.asarray(found.arrays["covariance"])
        chi2, steps = found.metric["chi2"], found.n_steps
        if measured is not None:
            chi2 = chi_squared(measured, parameters)
        if measured is not None and weights is not None:
            covariance = weighted_covariance(measured, parameters, weights, free)
        evidence = Evidence(
            outcome=outcome,
            decrement=found.metric.get("decrement", float("nan")),
            gradient=found.metric.get("optimality", float("nan")),
            lacking=len(free) - int(found.metric.get("rank", len(free))),
            reduced_chi_squared=chi2 / max(n_data - len(free), 1),
            at_bounds=tuple(found.bounds_reached),
            unidentified=tuple(found.unidentified),
            sigma_is_default=request.maps.sigma_is_default,
        )
        message = found.message or f"the fit ended as {outcome} after {steps} steps"
        device = {**device, "metric": dict(found.metric), "derived": dict(found.derived), "cost": 2.0 * found.loss}
    return build_result(
        names=names,
        free=free,
        parameters=parameters,
        covariance=covariance,
        chi_squared=chi2,
        n_data=n_data,
        evidence=evidence,
        message=message,
        iterations=steps,
        execution_time=seconds,
        device_info={**device, "notes": list(request.said)},
        maps_info=maps_info(request, problem if measured is None else measured),
    )


def chi_squared(problem: Problem, theta: np.ndarray) -> float:
    """Σ r² at a place."""
    r = np.asarray(jax.jit(lambda own, x: own.residuals(x))(problem, jnp.asarray(theta)))
    return float(r @ r)


def maps_info(request: Request, problem: Any) -> dict[str, Any]:
    """What parameters belong to."""
    maps = request.maps
    return {
        "n_phi": maps.n_phi,
        "n_times": maps.n_times,
        "phi_deg": maps.phi_deg.tolist(),
        "q_inverse_angstrom": maps.q,
        "gap_angstrom": maps.gap,
        "dt_s": maps.dt_s,
        "n_masked": maps.n_masked,
        "analysis_mode": request.config.analysis_mode,
        "shear_model": problem.shear_model,
        "integration": problem.integration,
        "scaling": problem.scaling,
        "per_angle_mode": request.nlsq.per_angle_mode,
        "fourier_order": request.nlsq.fourier_order,
    }


def _ladder(asked: Request, problem: Problem, config: NLSQConfig):
    if config.recovery == "document" or config.compat == "document":
        return document_ladder(bounds_of(problem))

    def more_starts() -> list[dict[str, float]]:
        return [good_starts(asked, problem).best]

    return default_ladder(more_starts)


def with_config(request: Request, **changes: Any) -> Request:
    """The same request with other settings of `optimization.nlsq`."""
    nlsq = request.nlsq.model_copy(update=changes)
    return replace(
        request,
        config=replace(request.config, optimization=replace(request.config.optimization, nlsq=nlsq)),
    )
