"""Every key of homodyne's configurations: which setting it is, or why it is not used."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

NLSQ_KEYS = {
    "tolerance": "ftol",
    "recovery.enable": "enable_recovery",
    "recovery.max_attempts": "max_recovery_attempts",
    "recovery.ladder": "recovery",
    "stratified.target_chunk_size": "target_chunk_size",
    "multi_start.enable": "enable_multi_start",
    "multi_start.n_starts": "multi_start_n_starts",
    "multi_start.seed": "multi_start_seed",
    "multi_start.use_screening": "multi_start_use_screening",
    "multi_start.screen_keep_fraction": "multi_start_screen_keep_fraction",
    "cmaes.enable": "enable_cmaes",
    "anti_degeneracy.per_angle_mode": "per_angle_mode",
    "anti_degeneracy.fourier_order": "fourier_order",
    "anti_degeneracy.fourier_auto_threshold": "fourier_auto_threshold",
    **{
        f"{group}hierarchical.{key}": field
        for group in ("", "anti_degeneracy.")
        for key, field in {
            "enable": "enable_hierarchical",
            "max_outer_iterations": "hierarchical_max_outer_iterations",
            "outer_tolerance": "hierarchical_outer_tolerance",
            "physical_max_iterations": "hierarchical_physical_max_iterations",
            "per_angle_max_iterations": "hierarchical_per_angle_max_iterations",
        }.items()
    },
    **{
        f"{group}regularization.{key}": field
        for group in ("", "anti_degeneracy.")
        for key, field in {
            "enable": "enable_regularization",
            "mode": "regularization_mode",
            "lambda": "group_variance_lambda",
            "target_cv": "regularization_target_cv",
            "target_contrib": "regularization_target_contribution",
            "target_contribution": "regularization_target_contribution",
            "auto_tune_lambda": "regularization_auto_tune_lambda",
        }.items()
    },
    **{
        f"{group}gradient_monitoring.{key}": field
        for group in ("", "anti_degeneracy.")
        for key, field in {
            "enable": "enable_gradient_monitoring",
            "ratio_threshold": "gradient_ratio_threshold",
            "consecutive_triggers": "gradient_consecutive_triggers",
            "response": "gradient_collapse_response",
        }.items()
    },
    **{
        f"{group}shear_weighting.{key}": field
        for group in ("", "anti_degeneracy.")
        for key, field in {
            "enable": "enable_shear_weighting",
            "min_weight": "shear_min_weight",
            "alpha": "shear_alpha",
            "normalize": "shear_normalize",
        }.items()
    },
}  # below optimization.nlsq → field of NLSQConfig; fields by their own names count too, and cmaes.*

_ONE_SOLVER = "there is one solver, which sums JᵀJ over chunks of any size"
_SCALES = "the solver scales the parameters itself"
NLSQ_IGNORED = {
    "x_scale": _SCALES,
    "x_scale_map": _SCALES,
    "x_scale_map.*": _SCALES,
    "trust_region_scale": "the first trust region follows from the start",
    "shear_transforms.*": _SCALES,
    "workflow": _ONE_SOLVER,
    "goal": _ONE_SOLVER,
    "hybrid_streaming.*": _ONE_SOLVER,
    "streaming.*": _ONE_SOLVER,
    "stratified.enable": _ONE_SOLVER,
    "hybrid_*": _ONE_SOLVER,
    "verbose": "the command line says what is shown",
    "progress.*": "the command line says what is shown",
    "diagnostics.*": "diagnostics are always in the result",
    "quality_validation.*": "quality has fixed thresholds; see the page on results",
    "multi_start.sampling_strategy": "starts are a Latin hypercube, D0 and gamma_dot_t0 in their logarithms",
    "multi_start.n_workers": "starts run together in one program",
    "multi_start.refine_top_k": "every start that is fitted is fitted to the end",
    "multi_start.refinement_ftol": "every start that is fitted is fitted to the end",
    "multi_start.degeneracy_threshold": "basins are told apart by Δχ² and Mahalanobis distance",
    "cmaes.normalize": "the search is always in normalised parameters",
    "cmaes.normalization_epsilon": "the search is always in normalised parameters",
    "anti_degeneracy.enable": "each layer has its own `enable`",
    "anti_degeneracy.constant_scaling_threshold": "`auto` is individual, or fourier with compat `document`",
    "anti_degeneracy.regularization.max_cv": "nothing depends on it",
    "regularization.max_cv": "nothing depends on it",
}  # pattern → why

CMC_KEYS = {
    "sharding.strategy": "sharding_strategy",
    "sharding.num_shards": "num_shards",
    "sharding.max_points_per_shard": "max_points_per_shard",
    "per_shard_mcmc.num_warmup": "num_warmup",
    "per_shard_mcmc.num_samples": "num_samples",
    "per_shard_mcmc.num_chains": "num_chains",
    "per_shard_mcmc.target_accept_prob": "target_accept_prob",
    "per_shard_mcmc.max_tree_depth": "max_tree_depth",
    "validation.max_per_shard_rhat": "max_rhat",
    "validation.min_per_shard_ess": "min_ess",
    "validation.max_divergence_rate": "max_divergence_rate",
    "validation.min_success_rate": "min_success_rate",
    "combination.min_success_rate": "min_success_rate",
}  # below optimization.cmc → field of CMCConfig
_PROCESSES = "parts run together in one program"
CMC_IGNORED = {
    "enable": "the command line says what is fitted",
    "backend": _PROCESSES,
    "backend_config.*": _PROCESSES,
    "backend_config": _PROCESSES,
    "per_shard_timeout": _PROCESSES,
    "diagonal_correction": "the diagonal never counts",
    "combination.method": "parts are combined with their full covariance",
    "combination.validate_results": "the agreement of the parts is always judged",
    "validation.strict_mode": "a posterior with too few parts is always an error",
    "validation.max_between_shard_kl": "the agreement of the parts is judged by χ²",
    "initialization.*": "parts start at the least-squares optimum where there is one",
    "per_shard_mcmc.adaptive*": "every part has the same number of draws",
    "prior_tempering": "priors are always tempered",
}  # pattern → why

USED = (
    "analysis_mode",
    "metadata.analysis_mode",
    "analyzer_parameters.dt",
    "analyzer_parameters.start_frame",
    "analyzer_parameters.end_frame",
    "analyzer_parameters.scattering.wavevector_q",
    "analyzer_parameters.geometry.stator_rotor_gap",
    "analyzer_parameters.geometry.stator_rotor_gap_um",
    "analyzer_parameters.geometry.stator_rotor_gap_nm",
    "analyzer_parameters.scattering.wavevector_q_inverse_nm",
    "experimental_data.dt",
    "experimental_data.geometry.stator_rotor_gap",
    "experimental_data.file_path",
    "experimental_data.data_folder_path",
    "experimental_data.data_file_name",
    "experimental_data.sigma",
    "phi_filtering.enabled",
    "phi_filtering.target_ranges",
    "phi_filtering.fallback_to_all_angles",
    "initial_parameters.parameter_names",
    "initial_parameters.values",
    "initial_parameters.active_parameters",
    "initial_parameters.fixed_parameters",
    "initial_parameters.per_angle_scaling.contrast",
    "initial_parameters.per_angle_scaling.offset",
    "parameter_space.bounds",
    "parameter_space.model",
    "model.shear_model",
    "model.integration",
    "optimization.method",
    "output.directory",
    "output.base_directory",
)  # outside optimization.nlsq and optimization.cmc

_FILES = "the reader knows the layouts of APS, APS-U and NPZ, and keeps no cache"
IGNORED = {
    "metadata.*": "it describes the file",
    "analysis_settings.*": "analysis_mode says it",
    "experimental_data.phi_angles_*": "angles come with the data",
    "experimental_data.cache_*": _FILES,
    "experimental_data.data_type": "numbers are float64",
    "experimental_data.file_format": _FILES,
    "experimental_data.exchange_key": _FILES,
    "experimental_data.sample_detector_distance": "it is another length than the gap of the shear cell",
    "phi_filtering.algorithm": "ranges, which may wrap",
    "phi_filtering.tolerance": "a range has the width that it says",
    "phi_filtering.quality_control.*": "which angles were taken is in the notes",
    "initial_parameters.units": "units are fixed; see the page on units",
    "parameter_space.priors": "priors stand with the bounds",
    "optimization.mcmc.*": "`optimization.cmc` has the sampler's settings",
    "optimization.streaming.*": _ONE_SOLVER,
    "optimization.vi.*": "there is no variational inference",
    "optimization.hybrid.*": "there is no variational inference",
    "noise_estimation.*": "errors by angle are estimated from far lags when they are asked for",
    "performance.*": "memory is measured; NLSQ_MEMORY_FRACTION says how much may be used",
    "quality_control.*": "data are always checked",
    "logging.*": "the command line says what is shown",
    "plotting.*": "`campaign xpcs plot` has options",
    "output.*": "every file is written, in one folder a method",
    "validation.*": "configurations are always validated",
    "v2_features.*": "there is one way",
}


def ignored_because(key: str, table: Mapping[str, str]) -> str | None:
    """Why a key is not used; None where the table does not know it."""
    return next((why for pattern, why in table.items() if fnmatchcase(key, pattern)), None)
