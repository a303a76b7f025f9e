"""`run_fit`: the one function behind all fitters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from campaign.science import Blind, InvalidValue
from campaign_cosmology.api.blinded import checked_blind, hidden_blocks, hidden_params
from campaign_cosmology.api.datasets import load_dataset
from campaign_cosmology.api.derived_errors import derived_values
from campaign_cosmology.api.integrity import diagnostics
from campaign_cosmology.api.likelihoods import answer
from campaign_cosmology.api.optimisation import checked_config, optimise
from campaign_cosmology.api.parameter_store import OptimizedParameterStore
from campaign_cosmology.api.parameters import build_params, completed, known_model, validate_params
from campaign_cosmology.api.results import BlockResult, OptimizationResult, ParameterDict, ResultsDict
from campaign_cosmology.api.selection import checked_free, data_hashes, dataset_names, select
from campaign_cosmology.api.theory import conventions
from campaign_cosmology.judge.statistics import metrics_of
from campaign_cosmology.model.space import SETTINGS

NOT_STORED = "defaults of {}: built in (stored ones are not used in a blinded fit)"
MODES = ("joint", "individual")


def run_fit(
    model: str,
    datasets_list: Sequence[str],
    mode: str = "joint",
    overrides: Mapping[str, Any] | None = None,
    optimizer_config: Mapping[str, Any] | None = None,
    optimization_params: Sequence[str] | None = None,
    *,
    covariance_scaling: float = 1.0,
    store: OptimizedParameterStore | None = None,
    use_cache: bool = False,
    asked: Collection[str] | None = None,
    blind: Blind | Mapping[str, Any] | None = None,
) -> ResultsDict:
    """Evaluate a model on data, or fit some of its parameters.

    Args:
        model: "lcdm", "pbuf", or one added to `DEFAULTS`.
        datasets_list: names: cmb, bao, bao_ani, sn, kind:variant, or one added to `DATASET_LOADERS`.
        mode: "joint": one fit to all; "individual": one fit per data set.
        overrides: parameter values instead of the stored defaults; conventions as well (recomb_method, drag_method …).
        optimizer_config: method, options, bounds, n_starts, seed, tolerance, objective.
        optimization_params: parameters that move; None keeps all of them fixed.
        covariance_scaling: factor on every covariance.
        store: of the defaults to start from.
        blind: parameters that are shown shifted, {"key": …, "scale": {"H0": 3.0}} as `campaign blind` prints it. They
            move, and start from built-in values; their values and bounds are shifted ones everywhere. Withheld is what
            would give the truth away: predictions, residuals, pulls, derived quantities, checks. chi2, errors and
            criteria are the truth's.
        use_cache: take what an equal optimisation has found before; it is never out of date (`result_cache`).
        asked: which of the overrides a start was asked for with; None: all. Fits that differ in other starts, those of
            stored defaults, are equal to the cache.

    Returns:
        params, results per data set (chi2, predictions, residuals, pulls), metrics, diagnostics, provenance, derived
        (r_d, h r_d, and the magnitude offset M of supernovae, with errors);
        with parameters optimised also ``optimization``. In mode "individual" each entry of ``results`` also has all
        this of its own fit; the outer ``params`` are the start, the outer ``metrics`` those of the sum. ``blinded``
        names the parameters that are shown shifted, where any are.

    Raises:
        ValueError: unknown model, mode, parameter, method; empty data list; value out of bounds; overlapping data.
        KeyError: unknown data set. TypeError: a value of the wrong type.
    """
    known_model(model)
    if mode not in MODES:
        raise InvalidValue(f"mode is {mode!r}", hint=f"valid: {', '.join(MODES)}")
    free = checked_free(model, optimization_params, overrides, datasets_list) if optimization_params is not None else ()
    dataset_names(datasets_list, free)
    checked_config(optimizer_config)
    store = store or OptimizedParameterStore()
    hidden = checked_blind(blind, free)
    stored = store.overrides(model) if hidden is None else {}  # true values are no start of shifted ones
    params = build_params(model, {**stored, **(overrides or {})})
    source = store.describe(model) if hidden is None else NOT_STORED.format(model)
    common = {"config": optimizer_config, "cov_scale": covariance_scaling, "source": source}
    common |= {"use_cache": use_cache, "blind": hidden}
    common |= {"asked": tuple(overrides or ()) if asked is None else tuple(asked)}
    if mode == "joint":
        return _fit(model, list(datasets_list), free, params, **common)
    parts = {name: _fit(model, [name], free, params, **common) for name in datasets_list}
    blocks: dict[str, Any] = {
        name: {**part["results"][name], **{key: value for key, value in part.items() if key != "results"}}
        for name, part in parts.items()
    }
    outer = ResultsDict(
        params=params,
        results=blocks,
        metrics=metrics_of(
            sum(p["metrics"]["total_chi2"] for p in parts.values()),
            sum(p["metrics"]["n_parameters"] for p in parts.values()),
            sum(p["metrics"]["n_data"] for p in parts.values()),
        ),
        diagnostics=diagnostics(params, list(datasets_list)),
        provenance={"mode": "individual"},
    )
    return outer if hidden is None else _hidden(outer, hidden)


def _fit(
    model: str,
    datasets: list[str],
    free: tuple[str, ...],
    params: ParameterDict,
    *,
    config: Mapping[str, Any] | None,
    cov_scale: float,
    source: str,
    use_cache: bool,
    asked: tuple[str, ...],
    blind: Blind | None,
) -> ResultsDict:
    bounds = checked_config(config)["bounds"]
    selection = select(model, datasets, free, params, cov_scale=cov_scale, bounds=bounds, blind=blind)
    optimum: OptimizationResult | None = None
    if free:
        optimum = optimise(selection, config, cov_scale, use_cache=use_cache, asked=asked)
        params = completed({**params, **optimum.optimized_params})
    if blind is not None and optimum is not None:
        blocks = hidden_blocks(selection, optimum.optimized_params)
    else:
        blocks = {
            short: block_result(model, params, name, cov_scale)
            for short, name in zip(datasets, selection.names, strict=True)
        }
    total = sum(block["chi2"] for block in blocks.values())
    provenance = {
        "defaults": source,
        "conventions": conventions(params),
        "datasets": list(selection.names),
        "data_sha256": data_hashes(selection),
        "covariance_scaling": cov_scale,
        "notes": notes(selection.names, params, free, is_blinded=blind is not None),
    }
    result = ResultsDict(
        params=params,
        results=blocks,
        metrics=metrics_of(total, len(free) + selection.n_profiled, selection.n_data),
        diagnostics=diagnostics(params, list(selection.names)),
        provenance=provenance,
    )
    if optimum is not None:
        result["optimization"] = optimum.to_dict()
    if blind is not None:
        return _hidden(result, blind)
    is_optimum = optimum is not None and "objective" not in optimum.metadata
    result["derived"] = derived_values(selection, params, cov_scale, is_optimum=is_optimum)
    return result


def _hidden(result: ResultsDict, blind: Blind) -> ResultsDict:
    """The result without what is computed of parameters that are shifted, and with their names."""
    result["params"] = hidden_params(result["params"], blind)
    result["diagnostics"] = {"covariance_status": result["diagnostics"]["covariance_status"]}
    result["provenance"]["blind"] = blind.model_dump()
    result["blinded"] = sorted(blind.scale)
    return result


def block_result(model: str, params: ParameterDict, name: str, cov_scale: float) -> BlockResult:
    """chi2, predictions, residuals (model − data, in the data's units) and pulls of one data set."""
    data = load_dataset(name)
    chi2, predictions = answer(model, name, params, data)
    observed = data["observations"]
    if not isinstance(observed, Mapping):
        observed = dict(zip(predictions, np.asarray(observed, float).tolist(), strict=False))
    if len(observed) != len(data["observations"]) or any(label not in predictions for label in observed):
        raise InvalidValue(
            f"the likelihood of `{name}` predicts {', '.join(map(str, predictions)) or 'nothing'}"[:300],
            hint=f"a prediction for each of its {len(data['observations'])} observations, under the same label",
        )
    sigma = np.sqrt(cov_scale * np.diag(np.asarray(data["covariance"], float)))
    residuals = np.array([predictions[label] - value for label, value in observed.items()])
    pulls = dict(zip(observed, (residuals / sigma).tolist(), strict=True))
    return BlockResult(chi2=float(chi2) / cov_scale, predictions=predictions, residuals=residuals.tolist(), pulls=pulls)


def _rate(names: Sequence[str]) -> str:
    """Whether supernovae know H0: where Cepheids give the distances of some of their hosts."""
    anchors = [a for n in names if n.startswith("sn") for a in load_dataset(n)["metadata"].get("anchor") or ()]
    n = sum(anchor is not None for anchor in anchors)
    return f"{n} of them lie in hosts of known distance, and so give H0" if n else "they carry no H0"


def notes(
    names: Sequence[str], params: ParameterDict, free: Sequence[str] = (), *, is_blinded: bool = False
) -> list[str]:
    """What a reader of the numbers should know about this choice of data and conventions. Shifted parameters are not
    checked for being physical."""
    kinds = {name.partition(":")[0] for name in names}
    out = []
    form = params.get("pbuf_form") if params.get("model_class") == "pbuf" else None
    if "cmb" in kinds and form in ("normalised", "legacy") and params.get("k_sat") != 1.0:
        out.append("CMB distance priors were derived in ΛCDM; with k_sat ≠ 1 they are an approximation")
    moved = [name for name in SETTINGS if name in free]
    if "cmb" in kinds and moved:
        out.append(f"CMB distance priors were derived with {', '.join(moved)} held; they are an approximation here")
    if form == "legacy":
        out.append("the legacy form of PBUF is not closed: E(0) ≠ 1, so H0 is not quite H(z = 0)")
    try:
        _ = is_blinded or validate_params(params)
    except InvalidValue as error:
        out.append(f"not physical: {error.message} ({error.hint})" if error.hint else f"not physical: {error.message}")
    if {"bao", "bao_ani"} <= kinds:
        out.append("the isotropic MGS point and the lowest BOSS or DESI bin share some volume; correlation neglected")
    if params.get("drag_method") == "EH98" and kinds & {"bao", "bao_ani"}:
        out.append("drag redshift from EH98: r_d is 2.5 % too large for BAO")
    if "sn" in kinds:
        out.append("supernovae have one free magnitude offset, counted as a parameter; " + _rate(names))
    if "sn:pantheon-plus-sh0es" in names:
        out.append("Pantheon+ rows with zHD > 0.01, and the calibrators")
    if "sn:pantheon-plus" in names:
        out.append("Pantheon+ rows with zHD > 0.01 without calibrators")
    return out
