"""One call of a fitter: configuration and command line put together, the fit, what is stored, what is added to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from campaign.science import Blind, CampaignError, InvalidValue
from campaign_cosmology.api.blinded import checked_blind
from campaign_cosmology.api.fitting import NOT_STORED, run_fit
from campaign_cosmology.api.optimisation import checked_config
from campaign_cosmology.api.parameter_store import OptimizedParameterStore
from campaign_cosmology.api.parameters import build_params, get_defaults, known_model, parameter_table
from campaign_cosmology.api.results import ResultsDict
from campaign_cosmology.api.selection import checked_free, dataset_names, select
from campaign_cosmology.commands.request import Request, Session
from campaign_cosmology.judge.comparison import compare
from campaign_cosmology.judge.robustness import (
    Refit,
    Resampling,
    bootstrap,
    checked_samples,
    jackknife,
    leave_one_dataset_out,
)
from campaign_cosmology.judge.uncertainty import profile_error, whole_profile
from campaign_cosmology.model.selection import Selection
from campaign_cosmology.model.space import SETTINGS


def _start(request: Request, store: OptimizedParameterStore) -> tuple[dict[str, Any], str]:
    """Values over the built-in ones, and where they come from."""
    stored: dict[str, Any] = {}
    source = store.describe(request.model)
    if request.blind is not None:
        source = NOT_STORED.format(request.model)
    elif request.use_stored:
        stored = store.overrides(request.model)
    else:
        source = f"defaults of {request.model}: built in (stored ones are not used)"
    if request.warm_start:
        warm = store.get_warm_start_params(request.model)
        if warm is None:
            source += "; no successful optimisation of the last 24 hours to start from"
        else:
            stored = {name: warm[name] for name in parameter_table(request.model)}
            source += "; warm start from the last optimum"
    return {**_inside(request, stored), **request.overrides}, source


def _inside(request: Request, values: Mapping[str, Any]) -> dict[str, Any]:
    """Starts that lie outside of what a prior allows go a thousandth of its width inside, as in a manifest."""
    found, table = dict(values), parameter_table(request.model, request.overrides)
    for name in request.priors:
        low, high = request.optimizer["bounds"][name]
        here, rim = found.get(name, table[name].initial), 1e-3 * (high - low)
        if not low <= here <= high:
            found[name] = float(np.clip(here, low + rim, high - rim))
    return found


def run_session(
    request: Request, store: OptimizedParameterStore | None = None, plugins: Mapping[str, str] | None = None
) -> Session:
    """Fit, store, and add what was asked for. `plugins`: files that were run before, with the hashes of their code.

    Raises:
        ValueError, KeyError, TypeError: as `run_fit`. InvalidValue: additions without an optimised parameter.
    """
    store = store or OptimizedParameterStore()
    _check(request)
    values, source = _start(request, store)
    table = parameter_table(request.model, request.overrides)
    everything = {name: p.initial for name, p in table.items()} | {
        name: v for name, v in get_defaults(request.model).items() if name in table
    }
    results = run_fit(
        request.model,
        list(request.datasets),
        overrides={**everything, **values},
        optimizer_config=request.optimizer or None,
        optimization_params=list(request.optimize) or None,
        covariance_scaling=request.cov_scale,
        store=store,
        use_cache=request.use_cache and not plugins,
        asked=list(request.overrides),
        blind=request.blind,
    )
    results["provenance"]["defaults"] = source
    if request.priors:
        results["provenance"]["priors"] = dict(request.priors)
    if plugins:
        results["provenance"]["plugins"] = dict(plugins)
        results.get("optimization", {}).get("metadata", {})["plugins"] = dict(plugins)
    messages: list[str] = []
    if not request.optimize:
        return _compared(Session(results=results, messages=messages), request, store)
    optimum = results.get("optimization", {})
    messages += _convergence(optimum)
    failure = None
    try:
        messages += _store(request, results, store)
    except CampaignError as error:  # the fit is not lost because its optimum cannot be stored
        failure = error
    session = Session(results=results, messages=messages, failure=failure)
    if _wants_more(request):
        session = _extended(session, request)
    return _compared(session, request, store)


def _convergence(optimum: Mapping[str, Any]) -> list[str]:
    """What is to be said of the tolerance: that it was clipped, and that the end does not meet it."""
    found = optimum["metadata"]["convergence"]
    messages = [found["note"]] if found["note"] else []
    if "cached" in optimum["metadata"]:
        when = optimum["metadata"]["timestamp"][:19]
        messages.append(
            f"the optimum was found {when}Z by an equal fit, and taken from the cache; --no-cache fits again"
        )
    if optimum["convergence_status"] == "success" and not found["reached"]:
        messages.append(
            f"warning: the gradient at the end, {optimum['gradient_norm']:.2g} in chi2 per typical change of the "
            f"parameters, is above the tolerance, {found['used']:.2g}"
        )
    return messages


def _wants_more(request: Request) -> bool:
    resamples = request.n_bootstrap != 0 or request.with_jackknife or request.with_leave_out
    return bool(request.profiles) or request.profile_errors or resamples


def _check(request: Request) -> None:
    """What can be wrong with a request is found before anything is computed or stored."""
    build_params(request.model, request.overrides)
    if request.against is not None:
        known_model(request.against)
    if not request.optimize:
        if _wants_more(request):
            raise InvalidValue("errors, profiles and resampling need parameters that move", hint="add --optimize NAMES")
        return
    free = checked_free(request.model, request.optimize, request.overrides, request.datasets)
    blind = checked_blind(request.blind, free)
    for name in request.priors:
        if name not in free:
            raise InvalidValue(
                f"`{name}` has bounds of a prior and does not move", hint=f"add it to --optimize: {name}"
            )
        if blind is not None and name in blind.scale:
            hint = "a normal prior, or do not blind it"
            raise InvalidValue(f"`{name}` is blinded, and its prior would cut it at shifted bounds", hint=hint)
    if request.blind is not None and request.warm_start:
        raise InvalidValue("a blinded fit does not start from stored optima, which are true", hint="no warm start")
    for name in request.profiles:
        checked_free(request.model, [name], request.overrides, request.datasets)
        if name not in free:
            raise InvalidValue(f"`{name}` does not move, so it has no profile", hint=f"add it to --optimize: {name}")
    names = dataset_names(request.datasets, free)
    if request.n_bootstrap:
        checked_samples(request.n_bootstrap)
    if request.with_leave_out and len(names) < 2:
        raise InvalidValue(f"only `{', '.join(names)}` is fitted", hint="leaving it out leaves no data")
    if request.with_jackknife and all(name.startswith("cmb") for name in names):
        hint = "BAO and supernovae have bins to leave out, a CMB prior has none"
        raise InvalidValue(f"{', '.join(names)} has no blocks for a jackknife", hint=hint)


def _store(request: Request, results: ResultsDict, store: OptimizedParameterStore) -> list[str]:
    optimum = results.get("optimization", {})
    kinds = {name.partition(":")[0] for name in request.datasets}
    wanted = request.save if request.save is not None else "cmb" in kinds
    if request.save is False:
        return ["not stored, as asked"]
    if request.blind is not None:
        return [f"not stored: {', '.join(sorted(request.blind.scale))} shown shifted (blinded)"]
    if not wanted:
        return ["not stored: only fits with CMB data become defaults unless --save is given"]
    if optimum["convergence_status"] != "success":
        return [f"not stored: the optimisation ended as {optimum['convergence_status']}"]
    extra = [name for name in optimum["optimized_params"] if name not in parameter_table(request.model)]
    if extra:
        return [f"not stored: {', '.join(extra)} is a parameter under these conventions only"]
    settings = [name for name in SETTINGS if name in optimum["optimized_params"]]
    if settings:
        return [f"not stored: {', '.join(settings)} is a setting; what was found beside it is not found without"]
    before = store.get_model_defaults(request.model)
    worse = None if request.dry_run else _worse(request, before, optimum["optimized_params"])
    if worse:
        return [worse]
    store.update_model_defaults(
        request.model, optimum["optimized_params"], optimum["metadata"], dry_run=request.dry_run
    )
    if request.dry_run:
        return ["dry run: nothing stored"]
    if all(store.is_stored(model) for model in ("lcdm", "pbuf")):
        store.validate_cross_model_consistency()
    held = {name: results["params"][name] for name in get_defaults(request.model) if name not in request.optimize}
    other = [f"{name} = {_shown(v)} (default {_shown(before[name])})" for name, v in held.items() if v != before[name]]
    messages = [f"stored: {store.describe(request.model)}"]
    return [*messages, f"found at {', '.join(other)}; these are not stored"] if other else messages


def _worse(request: Request, before: Mapping[str, Any], found: Mapping[str, float]) -> str | None:
    """Why optimised values may not become defaults: beside the other stored defaults they fit these data worse."""
    conventions = {key: v for key, v in request.overrides.items() if isinstance(v, str)}
    kept = {name: before[name] for name in parameter_table(request.model)}
    now, then = (
        sum(
            block["chi2"]
            for block in run_fit(request.model, list(request.datasets), overrides=values)["results"].values()
        )
        for values in ({**kept, **conventions}, {**kept, **found, **conventions})
    )
    if then <= now + 1e-6:
        return None
    return (
        f"not stored: beside the other defaults chi2 would be {then:.6g} instead of {now:.6g}: this optimum was "
        "found at other values; --optimize these as well"
    )


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _selection(results: ResultsDict, request: Request) -> tuple[Selection, dict[str, float]]:
    best = results.get("optimization", {})["optimized_params"]
    bounds = checked_config(request.optimizer or None)["bounds"]
    free = checked_free(request.model, request.optimize, request.overrides, request.datasets)
    selection = select(
        request.model,
        request.datasets,
        free,
        results["params"],
        cov_scale=request.cov_scale,
        bounds=bounds,
        blind=request.blind,
    )
    return selection, best


def _extended(session: Session, request: Request) -> Session:
    selection, best = _selection(session.results, request)
    profiles = [whole_profile(selection, best, name) for name in request.profiles]
    errors = [profile_error(selection, best, name) for name in selection.free] if request.profile_errors else []
    resamplings: list[Resampling] = []
    refits: dict[str, list[Refit]] = {}
    if request.n_bootstrap:
        resamplings.append(bootstrap(selection, best, request.n_bootstrap))
    if request.with_jackknife:
        spread, fits = jackknife(selection, best)
        resamplings.append(spread)
        refits["jackknife"] = fits
    if request.with_leave_out:
        refits["leave one data set out"] = leave_one_dataset_out(selection, best)
    return replace(session, profiles=profiles, errors=errors, resamplings=resamplings, refits=refits)


def _shared(blind: Blind, names: Sequence[str]) -> Blind | None:
    """The blinding of the parameters that another model has as well; their offsets are the same."""
    kept = {name: size for name, size in blind.scale.items() if name in names}
    return blind.model_copy(update={"scale": kept}) if kept else None


def _for(table: Mapping[str, Any], optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """The optimiser's configuration, with the bounds of the parameters that a model has."""
    bounds = {name: pair for name, pair in (optimizer.get("bounds") or {}).items() if name in table}
    return {**optimizer, "bounds": bounds or None} if "bounds" in optimizer else dict(optimizer)


def _compared(session: Session, request: Request, store: OptimizedParameterStore) -> Session:
    """The same data with another model: shared parameters move as they did; what only one model has moves where it was
    asked to move."""
    if request.against is None:
        return session
    table = parameter_table(request.against)
    names = [n for n in request.optimize if n in table]
    overrides = {n: v for n, v in request.overrides.items() if n in table or not isinstance(v, float)}
    priors = {name: prior for name, prior in request.priors.items() if name in table}
    values, _ = _start(replace(request, model=request.against, overrides=overrides, priors=priors), store)
    other = run_fit(
        request.against,
        list(request.datasets),
        overrides=values,
        optimizer_config=_for(table, request.optimizer) or None,
        optimization_params=names or None,
        covariance_scaling=request.cov_scale,
        store=store,
        blind=request.blind and _shared(request.blind, names),
    )
    return replace(session, other=other, comparison=compare(session.results, other))
