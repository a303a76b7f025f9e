"""From names to a problem: model, data sets, free parameters, start and conventions of one fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np

from campaign.science import (
    Blind,
    InvalidValue,
    Parameter,
    ThetaSpace,
    UnknownName,
    nearest,
    start_jax,
)
from campaign_cosmology.api.blinded import checked_blind, require_same_blinding
from campaign_cosmology.api.datasets import (
    BUILTIN_LOADERS,
    DATASET_LOADERS,
    as_table,
    dataset_hash,
    is_own,
    load_dataset,
)
from campaign_cosmology.api.likelihoods import BUILTIN_LIKELIHOODS, BY_KIND, LIKELIHOOD_FUNCTIONS, answer, resampler
from campaign_cosmology.api.own_priors import refuse_twice
from campaign_cosmology.api.parameters import (
    WrongType,
    completed,
    known_model,
    parameter_table,
    parameter_value,
    unknown_parameter,
)
from campaign_cosmology.api.results import ParameterDict
from campaign_cosmology.api.theory import conventions
from campaign_cosmology.data.tables import resolve
from campaign_cosmology.judge.statistics import NotFinite
from campaign_cosmology.model.objective import FunctionObjective, Part, ProblemObjective
from campaign_cosmology.model.options import CosmologyOptions
from campaign_cosmology.model.problem import CosmologyProblem, build, problem_from_setup, setup_of
from campaign_cosmology.model.selection import Selection
from campaign_cosmology.model.space import MODELS, SETTINGS
from campaign_cosmology.physics.background import Expansion


def checked_free(
    model: str,
    names: Sequence[str],
    params: Mapping[str, Any] | None = None,
    datasets: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Names of parameters to optimise, in the model's order.

    Neff and Tcmb are fitted as in a manifest: without CMB priors, or with a prior on them among the data. Where
    `datasets` is None they are not.

    Raises:
        ValueError (InvalidValue): unknown model, empty list, or a name that is not a parameter of the model or is not
            fitted.
    """
    whole = parameter_table(known_model(model), params)
    held = [name for name in SETTINGS if not _may_move(name, datasets)]
    table = [name for name in whole if name not in held]
    valid = f"valid: {', '.join(table)}"
    if isinstance(names, str):
        raise InvalidValue(f"the parameters to optimise are the string {names!r}", hint=f"write a list: [{names!r}]")
    if not names:
        raise InvalidValue("no parameter to optimise is named", hint=valid)
    for name in names:
        if name in held:
            raise InvalidValue(
                f"`{name}` is set, not fitted: the CMB priors were derived with it held",
                hint=f"a prior among the data lets it move: own_prior({{{name!r}: (mean, sd)}}), or "
                f"--prior {name}=MEAN,SD; else {valid}",
            )
        if name not in table:
            raise unknown_parameter(model, name, table)
    return tuple(name for name in table if name in set(names))


def _may_move(setting: str, datasets: Sequence[str] | None) -> bool:
    """Whether one of Neff and Tcmb may be fitted to some data: as `model.options.check` has it for manifests."""
    if datasets is None or isinstance(datasets, str):
        return False
    kinds = {str(name).partition(":")[0] for name in datasets}
    priors = [name for name in datasets if str(name).startswith("prior:") and name in DATASET_LOADERS]
    return "cmb" not in kinds or any(setting in load_dataset(name)["metadata"].get("quantity", ()) for name in priors)


def dataset_names(datasets: Sequence[str], free: Sequence[str]) -> tuple[str, ...]:
    """Full names as they are fitted: ``cmb`` has four numbers when the spectral index moves, else three.

    Raises:
        ValueError (InvalidValue): none named, or overlapping sets. KeyError (UnknownName): unknown.
    """
    if not datasets:
        raise InvalidValue("no data set is named", hint=f"valid: {', '.join(BY_KIND)}")
    if isinstance(datasets, str):
        raise InvalidValue(f"datasets is the string {datasets!r}", hint=f"write a list: [{datasets!r}]")
    for name in datasets:
        if not isinstance(name, str):
            raise UnknownName(f"{name!r} is not the name of a data set", hint=f"valid: {', '.join(BY_KIND)}")
    replaced = {name for name, loader in DATASET_LOADERS.items() if loader is not BUILTIN_LOADERS.get(name)}
    chosen = ["cmb:cmb4" if name == "cmb" and "ns" in free else name for name in datasets]
    known = [name for name in chosen if name not in replaced]
    full = dict(zip(known, resolve(known), strict=True)) if known else {}
    return tuple(full.get(name, name) for name in chosen)


def is_builtin(model: str, names: Sequence[str]) -> bool:
    """Whether the compiled problem covers a fit: the model's equations and all likelihoods are the package's own. Data
    sets may be anybody's, if their rows say what they measure."""
    return model in MODELS and all(_is_gaussian(model, name) for name in names)


def _is_gaussian(model: str, name: str) -> bool:
    kind = name.partition(":")[0]
    if LIKELIHOOD_FUNCTIONS.get((model, name)) is not None:
        return False
    if LIKELIHOOD_FUNCTIONS.get((model, kind)) is not BUILTIN_LIKELIHOODS.get((model, kind)):
        return False
    if is_own(name):
        return "quantity" in load_dataset(name)["metadata"]
    return True


def bounded_space(
    model: str,
    free: Sequence[str],
    bounds: Mapping[str, tuple[float, float]] | None,
    params: Mapping[str, Any] | None = None,
) -> ThetaSpace:
    """The model's space with `free` moving, inside narrower bounds where they are given.

    Raises:
        ValueError (InvalidValue): bounds of an unknown parameter, reversed, or wider than the physical ones.
    """
    table = parameter_table(model, params)
    for name, pair in (bounds or {}).items():
        if name not in table:
            raise InvalidValue(f"bounds of `{name}`: no parameter of `{model}`", hint=nearest(str(name), table))
        try:
            low, high = (float(side) for side in pair)
        except (TypeError, ValueError):
            raise InvalidValue(f"bounds of `{name}` are {pair!r}", hint="two numbers: (lower, upper)") from None
        if low < table[name].lower or high > table[name].upper or not low < high:
            raise InvalidValue(
                f"bounds of `{name}` are ({low:g}, {high:g})",
                hint=f"valid: inside ({table[name].lower:g}, {table[name].upper:g}), the lower one first",
            )
        initial = min(max(table[name].initial, low), high)
        table[name] = replace(table[name], lower=low, upper=high, initial=initial)
    return ThetaSpace(tuple(replace(p, free=p.name in set(free)) for p in table.values()))


def select(
    model: str,
    datasets: Sequence[str],
    free: Sequence[str],
    params: ParameterDict,
    *,
    cov_scale: float = 1.0,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    bootstrap: int = 0,
    blind: Blind | Mapping[str, Any] | None = None,
) -> Selection:
    """Put a fit together. `free` may be empty: then chi2 is evaluated, nothing moves.

    Args:
        params: the start, from `build_params` or a result of `run_fit`.
        blind: as in `run_fit`; values and bounds of its parameters are shifted ones.

    Raises:
        ValueError, KeyError, TypeError: as documented for `run_fit`.
    """
    free = checked_free(model, free, params, datasets) if free else ()
    names = dataset_names(datasets, free)
    blind = checked_blind(blind, free)
    require_same_blinding(params, blind)
    refuse_twice(names)
    if isinstance(cov_scale, bool) or not isinstance(cov_scale, Real):
        raise WrongType(
            f"the covariance scale is {cov_scale!r}, a {type(cov_scale).__name__}", hint="a positive number"
        )
    if not (np.isfinite(cov_scale) and cov_scale > 0):
        raise InvalidValue(f"the covariance scale is {cov_scale}", hint="a positive number; 1 is the published one")
    space = bounded_space(model, free, bounds, params)
    for parameter in space.parameters:
        if parameter.name not in params:
            raise UnknownName(f"parameter `{parameter.name}` is missing", hint=f"build_params({model!r}) gives all")
        value = parameter_value(parameter_table(model, params)[parameter.name], params[parameter.name])
        if not parameter.lower <= value <= parameter.upper:
            raise InvalidValue(
                f"the start of `{parameter.name}`, {value:g}, is outside of the bounds that were given",
                hint=f"set {parameter.name} to a start from {parameter.lower:g} to {parameter.upper:g}",
            )
    common: dict[str, Any] = {"model": model, "params": params, "datasets": tuple(datasets), "names": names}
    common |= {"free": tuple(free), "blind": blind}
    if blind is not None:
        space = ThetaSpace(tuple(replace(p, unit=blind.unit(p.name, p.unit)) for p in space.parameters))
    start_jax()
    if is_builtin(model, names):
        problem = _problem(model, names, params, space, cov_scale, bootstrap, blind)
        base = np.array([float(params[p.name]) for p in space.parameters])
        n_data, n_profiled = problem.setup.n_data, problem.n_profiled
        return Selection(objective=ProblemObjective(problem, base), n_data=n_data, n_profiled=n_profiled, **common)
    if blind is not None:
        raise InvalidValue(
            "a registered model or likelihood sees parameters as they are, and may show them: it is not blinded",
            hint="blind fits of the package's own models and likelihoods; data of one's own may take part",
        )
    return _registered(space, cov_scale, common)


def _problem(
    model: str,
    names: Sequence[str],
    params: ParameterDict,
    space: ThetaSpace,
    cov_scale: float,
    bootstrap: int,
    blind: Blind | None,
) -> CosmologyProblem:
    """The compiled problem of the package's tables and of registered ones, one way for both."""
    chosen = conventions(params)
    if not any(is_own(name) for name in names):
        options = CosmologyOptions.model_validate(
            {"model": model, "data": list(names), "cov_scale": cov_scale, "bootstrap": bootstrap, "blind": blind}
            | chosen
        )
        return replace(build(options), space=space)
    expansion = Expansion(model, chosen["form"], chosen["constants"], chosen["neutrinos"])
    tables = tuple(as_table(load_dataset(name)) for name in names)
    shifts = () if blind is None else tuple(blind.shifts().items())
    setup = setup_of(tables, expansion, chosen["zstar"], chosen["zdrag"], shifts)
    return problem_from_setup(setup, space, cov_scale, bootstrap)


def _registered(space: ThetaSpace, cov_scale: float, common: dict[str, Any]) -> Selection:
    """A fit of something that was registered: its likelihood functions are called one by one."""
    model, params = common["model"], common["params"]
    loaded = [(name, load_dataset(name)) for name in common["names"]]

    @lru_cache(maxsize=2)
    def here(values: tuple[tuple[str, float], ...]) -> ParameterDict:
        return completed({**params, **dict(values)})

    def part(name: str, data: Mapping[str, Any]) -> Part:
        def chi2(values: dict[str, float], data: Mapping[str, Any]) -> float:
            try:
                return answer(model, name, dict(here(tuple(values.items()))), data)[0] / cov_scale
            except NotFinite:  # the model has no value there
                return np.inf

        return Part(name, data, chi2, resampler(model, name, data, cov_scale))

    parameters = space.subset(space.free_names).parameters
    start = np.array([float(params[p.name]) for p in parameters])
    objective = FunctionObjective.of([part(name, data) for name, data in loaded], parameters, start)
    _refuse_dead(model, parameters, objective.function, params)
    n_profiled = sum(data["dataset_type"] == "sn" and "quantity" in data["metadata"] for _, data in loaded)
    return Selection(
        objective=objective,
        n_data=sum(len(data["observations"]) for _, data in loaded),
        n_profiled=n_profiled,
        **common,
    )


def _refuse_dead(model: str, parameters: Sequence[Parameter], chi2: Any, params: ParameterDict) -> None:
    """A free parameter of a registered model that changes nothing would come back as if it had been fitted.

    Raises:
        ValueError (InvalidValue): chi2 is the same, to the last bit, a typical change to either side.
    """
    at = chi2({})
    for p in parameters:
        here = float(params[p.name])
        moved = [chi2({p.name: value}) for value in (here - p.typical, here + p.typical) if p.lower <= value <= p.upper]
        if moved and np.isfinite(at) and all(value == at for value in moved):
            raise InvalidValue(
                f"`{p.name}` changes nothing: no likelihood of the model `{model}` reads it",
                hint=f"keep it fixed, register a likelihood that reads `{p.name}`, or use one of {', '.join(MODELS)}",
            )


def data_hashes(selection: Selection) -> dict[str, str]:
    """SHA-256 of each data set's numbers, where it has one."""
    found = {}
    for name in selection.names:
        data = load_dataset(name)
        found[str(data["metadata"].get("name", name))] = dataset_hash(data)
    return found
