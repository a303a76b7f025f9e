"""`fit_nlsq_jax` and what goes with it: the document's entry points of least squares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from campaign.science import Problem
from campaign_xpcs.api.fitting import with_config
from campaign_xpcs.api.inputs import Request, request
from campaign_xpcs.api.layered import layered_fit
from campaign_xpcs.api.modes import problem_options, scaling_of
from campaign_xpcs.api.result import OptimizationResult
from campaign_xpcs.api.scaling_test import tested_scaling
from campaign_xpcs.api.search import begun
from campaign_xpcs.api.sequential import with_angles
from campaign_xpcs.model.problem import two_time_problem


def fit_nlsq_jax(
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
    strategy: str | None = None,
) -> OptimizationResult:
    """Least squares of two-time correlation maps.

    Two forms: ``fit_nlsq_jax(data, config)`` with a dictionary of maps, and ``fit_nlsq_jax(data=values, t1=, t2=, phi=,
    q=, L=, analysis_mode=, config=)`` with a list of points, which may be any part of a grid.

    Args:
        data: dictionary with `phi_angles_list` [degree], `c2_exp` (n_phi, N, N), `wavevector_q_list` [1/Å], `dt` [s],
            and `t1`, `t2` (N, N), `sigma`, `L` [Å] as far as there are such; or `TwoTimeMaps`; or values of points.
        config: the whole configuration or its section ``optimization.nlsq``: read, or as a mapping.
        t1, t2, phi, q, L, sigma, dt: of a list of points: times [s], angles [degree], wavevector [1/Å], gap [Å].
        analysis_mode: "laminar_flow", "static_isotropic", "static_anisotropic", before the configuration's.
        strategy: "standard", "out_of_core", "hybrid" in the place of what memory says.

    Returns:
        The result; what was chosen and why is in its `device_info`.

    Raises:
        UsageError, InvalidValue, ManifestError: data or settings that do not fit.

    Checked: tests/integration/test_xpcs_nlsq.py: golden χ², both forms to 1e-12, every mode, every strategy.
    """
    pooled = {"t1": t1, "t2": t2, "phi": phi, "q": q, "L": L, "sigma": sigma, "dt": dt}
    return fit_request(request(data, config, pooled, analysis_mode), strategy=strategy)


def fit_nlsq_multistart(
    data: Any, config: Any = None, *, n_starts: int | None = None, **given: Any
) -> OptimizationResult:
    """As `fit_nlsq_jax`, from several starts: a Latin hypercube, D0 and gamma_dot_t0 in their logarithms. See there.

    Args:
        n_starts: their number; None: the configuration's.
    """
    asked, strategy = _asked(data, config, given)
    changes = {"enable_multi_start": True, "enable_cmaes": False}
    changes |= {} if n_starts is None else {"multi_start_n_starts": n_starts}
    return fit_request(with_config(asked, **changes), strategy=strategy)


def fit_with_cmaes(data: Any, config: Any = None, **given: Any) -> OptimizationResult:
    """As `fit_nlsq_jax`, after a global search with CMA-ES, whatever the scale ratio says. See there."""
    asked, strategy = _asked(data, config, given)
    cmaes = asked.nlsq.cmaes.model_copy(update={"auto_select": False})
    return fit_request(with_config(asked, enable_cmaes=True, cmaes=cmaes), strategy=strategy)


def fit_request(asked: Request, *, strategy: str | None = None) -> OptimizationResult:
    """Fit what was asked for."""
    problem, scaling = problem_of(asked)
    start, about = begun(asked, problem)
    about |= {"scaling_reason": scaling.reason}
    if about["global_search"] == "cmaes":
        asked, about = refinement(asked, about)
    result = layered_fit(asked, problem, start, forced=strategy, about=about)
    return with_angles(asked, tested_scaling(asked, problem, result))


def problem_of(asked: Request) -> tuple[Problem, Any]:
    """The problem of a request, and how its scaling was chosen."""
    scaling = scaling_of(asked.nlsq, asked.maps.n_phi)
    return two_time_problem(asked.maps, **problem_options(asked, scaling)), scaling


def _asked(data: Any, config: Any, given: Mapping[str, Any]) -> tuple[Request, str | None]:
    pooled = dict(given)
    mode, strategy = pooled.pop("analysis_mode", None), pooled.pop("strategy", None)
    return request(data, config, pooled, mode), strategy


def refinement(asked: Request, about: Mapping[str, Any]) -> tuple[Request, dict[str, Any]]:
    """The request with the settings of the fit after a global search; its one step only where none is wanted."""
    own = asked.nlsq.cmaes
    changes: dict[str, Any] = {
        "max_iterations": own.refinement_max_nfev if own.refine_with_nlsq else 1,
        "ftol": own.refinement_ftol,
        "xtol": own.refinement_xtol,
        "gtol": own.refinement_gtol,
        "loss": own.refinement_loss,
        "enable_recovery": asked.nlsq.enable_recovery and own.refine_with_nlsq,
    }
    if own.refinement_workflow == "streaming" or own.data_chunk_size is not None:
        changes["use_adapter"] = False
    if own.data_chunk_size is not None:
        changes["target_chunk_size"] = own.data_chunk_size
    return with_config(asked, **changes), {**about, "nlsq_refined": own.refine_with_nlsq}
