"""`fit_mcmc_jax`: NUTS on parts of the data, combined with their full covariances."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from campaign.science import ConsensusOptions, Fit, InvalidValue, Problem, TruncatedNormal, UsageError, consensus, fit
from campaign_xpcs.api.cmc_result import CMCResult, Shard
from campaign_xpcs.api.fitting import maps_info, with_config
from campaign_xpcs.api.inputs import Request, request
from campaign_xpcs.api.modes import problem_options, scaling_of
from campaign_xpcs.api.result import OptimizationResult
from campaign_xpcs.data.cmc_config import CMCConfig
from campaign_xpcs.model import parameters
from campaign_xpcs.model.marginal import marginal_problem
from campaign_xpcs.model.problem import two_time_problem
from campaign_xpcs.model.shards import shard_rows

_MARGINAL = ("individual", "averaged")  # scalings that can be integrated out
_MODES = {"individual": "individual", "fourier": "fourier", "fixed": "constant", "averaged": "averaged"}


def fit_mcmc_jax(
    data: Any,
    config: Any = None,
    *,
    t1: Any = None,
    t2: Any = None,
    phi: Any = None,
    q: Any = None,
    L: Any = None,
    sigma: Any = None,
    dt: Any = None,
    analysis_mode: str | None = None,
    cmc_config: Any = None,
    nlsq_result: OptimizationResult | None = None,
) -> CMCResult:
    """The posterior of two-time correlation maps. Both forms of a call as `fit_nlsq_jax`.

    The pairs of frames are dealt at random into parts, each of which has every angle. NUTS samples each part with the
    priors to the power 1/K; the parts are combined as C = (Σ C_k⁻¹)⁻¹, m = C Σ C_k⁻¹ m_k. One part is not combined.

    Args:
        cmc_config: the section ``optimization.cmc``; None: the configuration's.
        nlsq_result: of `fit_nlsq_jax`: chains start there, and its per-angle mode and shear model are taken.

    Raises:
        InvalidValue: another mode than `nlsq_result` has, without `allow_mode_mismatch`; or too few parts count.

    Source: Scott et al. 2016, Int. J. Manag. Sci. Eng. Manag. 11, 78.
    Checked: tests/integration/test_xpcs_cmc.py against one long chain of all data.
    """
    pooled = {"t1": t1, "t2": t2, "phi": phi, "q": q, "L": L, "sigma": sigma, "dt": dt}
    if analysis_mode is None and nlsq_result is not None and not _says_mode(config):
        analysis_mode = nlsq_result.maps_info["analysis_mode"]
    asked = request(data, config, pooled, analysis_mode)
    return sample_request(asked, _settings(cmc_config, asked), nlsq_result)


def sample_request(asked: Request, settings: CMCConfig, nlsq_result: OptimizationResult | None) -> CMCResult:
    """Sample what was asked for."""
    began = time.perf_counter()
    asked, said = inherited(asked, settings, nlsq_result)
    n_shards = settings.num_shards or -(-asked.maps.n_points // settings.max_points_per_shard)
    problems = [shard_problem(asked, k, n_shards, settings.seed) for k in range(n_shards)]
    start = {} if nlsq_result is None else nlsq_result.values
    found = [_sampled(one, start, settings, settings.seed + k) for k, one in enumerate(problems)]
    names = problems[0].space.free_names
    draws, verdicts, spread, dof = _combined(problems[0], found, settings)
    per = asked.maps.n_points / n_shards
    return CMCResult(
        names=names,
        draws=draws,
        shards=tuple(
            _shard(one, verdict, per, settings.num_warmup) for one, verdict in zip(found, verdicts, strict=True)
        ),
        spread=spread,
        spread_dof=dof,
        device_info={
            **said,
            "n_shards": n_shards,
            "warm_start": nlsq_result is not None,
            "scaling": "integrated out" if hasattr(problems[0], "inner") else "sampled",
            "priors": "those of the configuration" if asked.config.parameters.priors else "flat between the bounds",
            "execution_time": time.perf_counter() - began,
            "notes": [*asked.said, *settings.notes],
        },
        maps_info=maps_info(asked, getattr(problems[0], "inner", problems[0])),
    )


def inherited(
    asked: Request, settings: CMCConfig, nlsq_result: OptimizationResult | None
) -> tuple[Request, dict[str, Any]]:
    """The request with the per-angle mode and shear model of the least-squares result, and what was taken from it.

    Raises:
        InvalidValue: an explicit other one without `allow_mode_mismatch`.
    """
    if settings.per_angle_mode is not None:
        asked = with_config(asked, per_angle_mode=settings.per_angle_mode)
    own = scaling_of(asked.nlsq, asked.maps.n_phi).name
    if nlsq_result is None:
        return asked, {"per_angle_mode": own, "shear_model": asked.config.shear_model, "mode_from": "configuration"}
    theirs, shear = nlsq_result.maps_info["scaling"], nlsq_result.maps_info["shear_model"]
    explicit = settings.per_angle_mode is not None or asked.nlsq.per_angle_mode != "auto"
    wrong = [f"per_angle_mode `{own}`, the result has `{theirs}`"] if explicit and own != theirs else []
    if asked.config.shear_model not in (shear, "physical"):
        wrong.append(f"shear_model `{asked.config.shear_model}`, the result has `{shear}`")
    if wrong and not settings.allow_mode_mismatch:
        raise InvalidValue("; ".join(wrong), hint="leave it out, or set allow_mode_mismatch")
    if wrong:
        said = {"per_angle_mode": own, "shear_model": asked.config.shear_model, "mode_mismatch": wrong}
        return asked, {**said, "mode_from": "configuration"}
    order = nlsq_result.maps_info["fourier_order"]
    asked = with_config(asked, per_angle_mode=_MODES[theirs], fourier_order=order)
    asked = replace(asked, config=replace(asked.config, shear_model=shear))
    return asked, {"per_angle_mode": theirs, "shear_model": shear, "mode_from": "nlsq_result"}


def shard_problem(asked: Request, k: int, n_shards: int, seed: int) -> Problem:
    """The posterior of one part, with its share of the priors.

    Contrasts and offsets are integrated out of a single part. Parts share them, so there they are sampled and combined:
    the integral of a product is no product of integrals.
    """
    scaling = scaling_of(asked.nlsq, asked.maps.n_phi)
    options = problem_options(asked, scaling)
    rows = None if n_shards == 1 else shard_rows(asked.maps.n_times, k, n_shards, seed)
    priors = _priors(asked, options["bounds"])
    if scaling.name not in _MARGINAL or n_shards > 1:
        return two_time_problem(asked.maps, **options, rows=rows, priors=priors, temper=n_shards)
    inner = two_time_problem(asked.maps, **options)
    physical = parameters.physical(asked.mode)
    names = {one.name for one in physical}
    bounds = {name: ends for name, ends in options["bounds"].items() if name in names}
    own = {"values": options["values"], "bounds": bounds, "fixed": options["fixed"]}
    space = parameters.space(physical, **own, priors=priors)
    return marginal_problem(inner, space=space)


def _priors(asked: Request, bounds: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    table = {one.name: (one.lower, one.upper) for one in parameters.physical(asked.mode)} | dict(bounds)
    given = asked.config.parameters.priors
    return {name: TruncatedNormal(*prior, *table[name]) for name, prior in given.items() if name in table}


def _sampled(problem: Problem, start: Mapping[str, float], settings: CMCConfig, seed: int) -> Fit:
    options = {
        "chains": settings.num_chains,
        "steps": settings.num_warmup + settings.num_samples,
        "warmup": settings.num_warmup,
        "target_accept": settings.target_accept_prob,
        "doublings": settings.max_tree_depth,
        "mass": "dense",
    }
    if start:
        options["metric"] = "fisher"
    known = {name: start[name] for name in problem.space.free_names if name in start}
    return fit(problem, "nuts", known, seed=seed, engine_options=options)


def _combined(
    problem: Problem, found: list[Fit], settings: CMCConfig
) -> tuple[Float[np.ndarray, "n d"], list[str], float, int]:
    """Draws of the combined posterior, what became of each part, and how far they are apart."""
    names = problem.space.free_names
    at = [problem.space.names.index(name) for name in names]
    width = found[0].trace["theta"].shape[-1]
    traces = np.stack([one.trace["theta"][settings.num_warmup :] for one in found])
    if width == len(problem.space.names):
        traces = traces[..., at]
    if len(found) == 1:
        flat = traces[0].reshape(-1, len(names))
        return flat, ["one part"], float("nan"), 0
    options = ConsensusOptions(
        parameters={name: {"transform": problem.space[name].transform} for name in names},  # type: ignore
        members=len(found),
        max_rhat=settings.max_rhat,
        min_ess=settings.min_ess,
        max_divergent=settings.max_divergence_rate,
        min_kept=settings.min_success_rate,
    )
    gathered = {
        "trace.theta": traces,
        "parameter": np.array([names] * len(found)),
        **{f"metric.{m}": np.array([one.metric.get(m, np.nan) for one in found]) for m in _METRICS},
    }
    both = consensus(options, gathered)
    rng = np.random.default_rng(settings.seed)
    n = settings.num_chains * settings.num_samples
    u = rng.multivariate_normal(np.asarray(both.mean), np.asarray(both.covariance), size=n, method="cholesky")
    logs = np.array([problem.space[name].transform == "log" for name in names])
    residual = np.asarray(both.residuals(jnp.asarray(_theta(np.asarray(both.mean), logs))))
    kept = [int(code) for code in np.asarray(both.verdict)]
    dof = (sum(code == 0 for code in kept) - 1) * len(names)
    return _theta(u, logs), [_VERDICTS[code] for code in kept], float(residual @ residual), dof


_METRICS = ("rhat_max", "ess_bulk_min", "divergences")
_VERDICTS = ("kept", "not finite", "not mixed", "few draws", "divergent", "two modes", "singular")


def _theta(u: np.ndarray, logs: np.ndarray) -> np.ndarray:
    return np.where(logs, np.exp(np.where(logs, u, 0.0)), u)


def _shard(found: Fit, verdict: str, n_points: float, warmup: int) -> Shard:
    draws = found.trace["theta"][warmup:]
    return Shard(
        n_points=round(n_points),
        divergences=int(found.metric.get("divergences", 0)),
        n_draws=int(np.prod(draws.shape[:-1])),
        rhat_max=float(found.metric.get("rhat_max", np.nan)),
        ess_min=float(found.metric.get("ess_bulk_min", np.nan)),
        verdict=verdict,
    )


def _settings(given: Any, asked: Request) -> CMCConfig:
    if given is None:
        return asked.config.optimization.cmc
    if isinstance(given, CMCConfig):
        return given
    if isinstance(given, Mapping):
        return CMCConfig.from_dict(given)
    raise UsageError(f"`cmc_config` is {type(given).__name__}", hint="a mapping, or a CMCConfig")


def _says_mode(config: Any) -> bool:
    if isinstance(config, Mapping):
        return "analysis_mode" in config or "metadata" in config
    return hasattr(config, "analysis_mode") or hasattr(config, "config")
