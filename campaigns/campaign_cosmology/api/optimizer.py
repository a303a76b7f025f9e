"""The documented optimisers of parameters: by model and data sets, from the stored defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from campaign_cosmology.api.optimisation import checked_config, optimise
from campaign_cosmology.api.parameter_store import OptimizedParameterStore
from campaign_cosmology.api.parameters import WrongType, build_params, known_model, parameter_table
from campaign_cosmology.api.results import CMBOptimizationResult, OptimizationResult
from campaign_cosmology.api.selection import checked_free, dataset_names, select
from campaign_cosmology.judge.statistics import checked_dof
from campaign_cosmology.model.space import default_free


class ParameterOptimizer:
    """Optimises parameters; starts from the stored defaults where nothing else is said.

    Attributes:
        store: where stored defaults are read. Nothing is written.
    """

    def __init__(self, store: OptimizedParameterStore | None = None) -> None:
        self.store = store or OptimizedParameterStore()

    def optimize_parameters(
        self,
        model: str,
        datasets: Sequence[str],
        optimize_params: Sequence[str] | None = None,
        starting_values: Mapping[str, float] | None = None,
        covariance_scaling: float = 1.0,
        *,
        optimizer_config: Mapping[str, Any] | None = None,
    ) -> OptimizationResult:
        """Minimise chi2 over `optimize_params`.

        Args:
            model: "lcdm", "pbuf", or a registered one.
            datasets: names of data sets.
            optimize_params: parameters that move; the others keep their stored defaults. None: those that data of
                these kinds constrain, as in a manifest (H0, Om0, Obh2, and k_sat in PBUF, for CMB data).
            starting_values: values instead of the stored defaults; conventions (recomb_method …) as well.
            covariance_scaling: factor on every covariance.
            optimizer_config: method ("minimize" (L-BFGS-B), "differential_evolution", "trf", or one in OPTIMIZERS),
                options, bounds, n_starts, seed, tolerance (gradient of chi2 per typical change at the end).

        Raises:
            ValueError: unknown model, parameter, method or option; no data; a value out of bounds.
            KeyError: unknown data set. TypeError: a value that is not a number.
        """
        if optimize_params is None:
            optimize_params = default_free(known_model(model), dataset_names(datasets, ()))
        free = checked_free(model, optimize_params, None, datasets)
        if starting_values is not None and not isinstance(starting_values, Mapping):
            raise WrongType(f"the starting values are a {type(starting_values).__name__}", hint='{"H0": 70.0}')
        params = build_params(model, {**self.store.overrides(model), **(starting_values or {})})
        config = checked_config(optimizer_config)
        selection = select(model, datasets, free, params, cov_scale=covariance_scaling, bounds=config["bounds"])
        checked_dof(selection.n_data, len(free) + selection.n_profiled)
        return optimise(selection, config, covariance_scaling)

    def get_optimization_bounds(self, model: str, param: str) -> tuple[float, float]:
        """(lower, upper) of a parameter.

        Raises:
            ValueError: unknown model or parameter.
        """
        (name,) = checked_free(model, [param])
        parameter = parameter_table(model)[name]
        return parameter.lower, parameter.upper

    def validate_optimization_request(self, model: str, optimize_params: Sequence[str]) -> bool:
        """True when every name is a parameter of the model.

        Raises:
            ValueError: otherwise, with the valid names.
        """
        checked_free(known_model(model), optimize_params)
        return True


def optimize_cmb_parameters(
    model: str,
    optimize_params: Sequence[str],
    starting_params: Mapping[str, float] | None = None,
    covariance_scaling: float = 1.0,
    *,
    optimizer_config: Mapping[str, Any] | None = None,
) -> CMBOptimizationResult:
    """Optimise on the CMB distance priors alone. Arguments and errors as `ParameterOptimizer.optimize_parameters`."""
    result = ParameterOptimizer().optimize_parameters(
        model, ["cmb"], optimize_params, starting_params, covariance_scaling, optimizer_config=optimizer_config
    )
    meta = result.metadata
    return CMBOptimizationResult(
        model=model,
        optimized_params=result.optimized_params,
        cmb_chi2=result.final_chi2,
        chi2_improvement=result.chi2_improvement,
        convergence_diagnostics={
            "n_iterations": result.n_iterations,
            "final_gradient_norm": result.gradient_norm,
            "function_tolerance_reached": result.convergence_status == "success" and meta["convergence"]["reached"],
        },
        parameter_bounds_info={
            "bounds_used": meta["bounds_used"],
            "bounds_reached": result.bounds_reached,
            "bound_sides": result.bound_sides,
        },
        provenance={
            "timestamp": meta["timestamp"],
            "optimizer_method": result.optimizer_info["method"],
            "library_version": f"{result.optimizer_info['library']} {result.optimizer_info['version']}",
            "covariance_scaling": covariance_scaling,
            "starting_values": result.starting_params,
            "conventions": meta["conventions"],
            "data_sha256": meta["data_sha256"],
        },
    )
