"""The posterior of a campaign's run as it would be with other options of its problem, or with priors besides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campaign import data
from campaign.analysis.chain_tables import getdist_head, getdist_names
from campaign.analysis.handle import open_campaign
from campaign.analysis.reweighting import LEAST, Reweighted, reweight
from campaign.analysis.select import read_record
from campaign.blinding import OPTION
from campaign.errors import Diagnostic, InvalidValue, ManifestError, UnknownName, nearest
from campaign.manifest.options import data_files, validate, with_files
from campaign.registry import load_reference
from campaign.space.priors import Prior, bounded, parse
from campaign.store.claim import read_identity
from campaign.store.layout import BlockTask
from campaign.work.jax_runtime import start_jax

if TYPE_CHECKING:
    from campaign.analysis.chain import Chain
    from campaign.problem.base import Problem
    from campaign.work.planned_block import PlannedBlock

DRAWS = 10_000
_AT_ONCE = 64  # draws that are evaluated together


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One parameter before and after. `error` is the standard deviation, `low` and `high` hold 68 % between them."""

    name: str
    unit: str
    mean_before: float
    error_before: float
    mean: float
    error: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReweightedRun:
    """What `reweight_run` gives.

    Attributes:
        changes: options of the problem that differ from the run's.
        priors: factors that were multiplied in, in words.
        names, draws: parameters and draws (n, d) of the run.
        log_ratio: None where a parameter without a normalised prior changes its bounds.
        n_left_out: draws where the new posterior is zero, or the model has no value.
        notes: what a person should know.
    """

    run_id: str
    changes: Mapping[str, Any]
    priors: Mapping[str, str]
    names: tuple[str, ...]
    draws: np.ndarray
    estimates: tuple[Estimate, ...]
    result: Reweighted
    log_ratio: float | None
    n_left_out: int
    notes: tuple[str, ...]


def reweight_run(
    directory: str | Path,
    run: str = "last",
    *,
    changes: Mapping[str, Any] | None = None,
    priors: Mapping[str, Prior | Mapping[str, Any]] | None = None,
    n_draws: int = DRAWS,
    least: float = LEAST,
) -> ReweightedRun:
    """The posterior of a sampler's run under changed options of its problem: other data, other priors, another model
    of the same parameters.

    w = L_new(θ) π_new(θ) / (L_old(θ) π_old(θ)) · Π priors(θ), both evaluated here at at most `n_draws` of the draws,
    evenly spread over the chain after its burn-in. Parameters that the run held keep their values.

    Args:
        directory, run: which chain: a campaign, and the beginning of a run id or "last".
        changes: options of the problem, over those of the run. `{"data": ["cmb", "sn"]}` replaces the list.
        priors: factors on free parameters, besides those that the problem has.
        n_draws: how many draws are evaluated.
        least: effective draws that are asked for.

    Raises:
        UnknownName, InvalidValue: no such run or parameter, no chain, nothing to change, or too few effective draws.
        ManifestError: options that the problem does not take.
        DataFileError: a file is missing or not the one that was planned.

    Checked: tests/integration/test_reweighting.py against sampling and fitting anew.
    """
    factors = {name: one if isinstance(one, Prior) else parse(one) for name, one in (priors or {}).items()}
    if OPTION in (changes or {}):
        raise InvalidValue(f"`{OPTION}` is not changed by weights", hint="`campaign unblind` shows the truth")
    if not changes and not factors:
        raise InvalidValue("nothing was changed", hint="name options of the problem to change, or a prior to add")
    handle = open_campaign(directory)
    found = handle.run(run)
    chain = handle.chain(found.run_id)
    for name in factors:
        if name not in chain.names:
            raise UnknownName(f"a prior on `{name}`, which the chain has no draws of", hint=nearest(name, chain.names))
    start_jax()
    from campaign.work.planned_block import load_block

    task = BlockTask(found.stage, found.part, found.block)
    block = load_block(handle.layout, task, read_identity(handle.layout).id).only(found.run_id)
    held = (read_record(handle.layout, found) or {}).get("theta", {})
    draws, n_independent = _draws(chain, n_draws)
    notes: list[str] = []
    old = _posterior(_problem(block, {}, notes), chain.names, held)
    new = old if not changes else _posterior(_problem(block, changes, notes), chain.names, held)
    added, is_normalised = np.zeros(len(draws)), True
    if changes:
        likelihood = new.log_likelihood(draws) - old.log_likelihood(draws)
        prior, is_normalised = _prior_ratio(new, old, draws, notes)
        added = np.where(np.isfinite(likelihood + prior), likelihood + prior, -np.inf)
    for name, prior in factors.items():
        added = added + prior.ln_pdf(draws[:, chain.names.index(name)])
    weighed = reweight(added, n_independent=n_independent, least=least)
    return ReweightedRun(
        run_id=found.run_id,
        changes=dict(changes or {}),
        priors={name: str(prior) for name, prior in factors.items()},
        names=chain.names,
        draws=draws,
        estimates=_estimates(chain, draws, weighed),
        result=weighed,
        log_ratio=weighed.log_ratio if is_normalised else None,
        n_left_out=int(np.isneginf(added).sum()),
        notes=tuple(dict.fromkeys(notes)),
    )


def _draws(chain: Chain, most: int) -> tuple[np.ndarray, float]:
    """At most so many draws (n, d), and how many independent ones they are worth."""
    rows, _ = chain.judged_draws()
    flat = rows.reshape(-1, len(chain.names))
    chosen = np.unique(np.linspace(0, len(flat) - 1, min(most, len(flat))).astype(int))
    known = [value for value in chain.ess(kind="bulk").values() if math.isfinite(value)]
    different = float(len(np.unique(flat[chosen], axis=0)))
    return flat[chosen], min(different, *known) if known else different


@dataclass(frozen=True)
class _Posterior:
    """Likelihood and priors of a problem, as functions of the chain's parameters."""

    problem: Problem
    base: np.ndarray
    places: tuple[int, ...]

    def log_likelihood(self, draws: np.ndarray) -> np.ndarray:
        """ln L at draws (n, d) → (n,); NaN where the model has none."""
        import equinox as eqx
        import jax
        import jax.numpy as jnp

        places = jnp.array(self.places, int)

        @eqx.filter_jit
        def evaluate(problem: Problem, base: jax.Array, free: jax.Array) -> jax.Array:
            return jax.lax.map(lambda x: problem.log_likelihood(base.at[places].set(x)), free, batch_size=_AT_ONCE)

        return np.asarray(evaluate(self.problem, jnp.asarray(self.base), jnp.asarray(draws)), np.float64)

    def prior_of(self, i: int) -> tuple[Prior | None, float, float]:
        """The normalised prior of the chain's parameter i between its bounds; None: flat without an end."""
        parameter = self.problem.space.parameters[self.places[i]]
        low, high = parameter.lower, parameter.upper
        if parameter.prior is not None:
            return bounded(parameter.prior, low, high), low, high
        return (Prior("uniform", (low, high)) if math.isfinite(high - low) else None), low, high


def _problem(block: PlannedBlock, changes: Mapping[str, Any], notes: list[str]) -> Problem:
    """The problem of the block's one run, with changed options."""
    recipe, plugin = block.recipe, block.recipe.problem
    if plugin.gather:
        raise InvalidValue(
            f"`{plugin.name}` is made of the results of other runs", hint="re-weight a run that stands alone"
        )
    own = {
        path.removeprefix("problem."): values[0]
        for path, values in block.columns.items()
        if path.startswith("problem.") and values[0] is not None
    }
    document = {**recipe.problem_options, **own}
    document = {k: v.item() if isinstance(v, np.generic) else v for k, v in document.items()} | dict(changes)
    findings: list[Diagnostic] = []
    options = validate(plugin.options, document, "/problem", findings)
    if options is None:
        raise ManifestError(findings, source="changed options")
    files = dict(recipe.files)
    needed = (*data_files(options), *(plugin.inputs(options) if plugin.inputs else ()))
    files |= {name: str(data.find(name, Path.cwd())) for name in needed if name not in files}
    problem: Problem = load_reference(plugin.build)(with_files(options, files))
    if plugin.check is not None and changes:
        free = recipe.free if recipe.free is not None else problem.space.free_names
        said = plugin.check(options, problem.space.with_free(free))
        notes.extend([said] if said else [])
    return problem


def _posterior(problem: Problem, names: tuple[str, ...], held: Mapping[str, float]) -> _Posterior:
    """The problem as a function of the named parameters; the others as the run held them.

    Raises:
        InvalidValue: it lacks one of them, or has a free one that the run did not have.
    """
    space = problem.space
    for name in names:
        if name not in space.names:
            raise InvalidValue(
                f"with these options the problem has no `{name}`, which the chain has draws of",
                hint=f"its parameters are {', '.join(space.names)}",
            )
    for parameter in space.parameters:
        if parameter.free and parameter.name not in held and parameter.name not in names:
            raise InvalidValue(
                f"with these options the problem has a free `{parameter.name}`, which the run does not have",
                hint="sample the posterior with all data instead",
            )
    base = np.array([held.get(p.name, p.initial) for p in space.parameters], np.float64)
    return _Posterior(problem, base, tuple(space.names.index(name) for name in names))


def _prior_ratio(new: _Posterior, old: _Posterior, draws: np.ndarray, notes: list[str]) -> tuple[np.ndarray, bool]:
    """ln π_new − ln π_old at draws, and whether both are normalised (or neither, alike)."""
    total, is_normalised = np.zeros(len(draws)), True
    for i in range(draws.shape[1]):
        (prior, low, high), (before, old_low, old_high) = new.prior_of(i), old.prior_of(i)
        name, x = new.problem.space.names[new.places[i]], draws[:, i]
        if low < old_low or high > old_high:
            notes.append(f"the bounds of `{name}` are wider than those of the run, whose draws do not reach there")
        if prior == before and (low, high) == (old_low, old_high):
            continue
        is_normalised = is_normalised and prior is not None and before is not None
        inside = np.where((x >= low) & (x <= high), 0.0, -np.inf)
        total = total + (inside if prior is None else prior.ln_pdf(x))
        total = total - (0.0 if before is None else before.ln_pdf(x))
    if not is_normalised:
        notes.append("a prior without an end has no density: there is no ratio of evidences")
    return total, is_normalised


def _estimates(chain: Chain, draws: np.ndarray, weighed: Reweighted) -> tuple[Estimate, ...]:
    mean, covariance = weighed.mean(draws), weighed.covariance(draws)
    low, high = weighed.quantiles(draws, (0.16, 0.84))
    units = dict(zip(chain.names, chain.units, strict=False))
    return tuple(
        Estimate(
            name=name,
            unit=units.get(name, ""),
            mean_before=float(draws[:, i].mean()),
            error_before=float(draws[:, i].std()),
            mean=float(mean[i]),
            error=math.sqrt(covariance[i, i]),
            low=float(low[i]),
            high=float(high[i]),
        )
        for i, name in enumerate(chain.names)
    )


def write_weighted(found: ReweightedRun, root: str | Path) -> list[Path]:
    """Write the weighted draws for GetDist and CosmoMC: ``<root>.txt`` and ``<root>.paramnames``.

    The columns are weight (the largest 1), −ln of the ratio of densities up to a constant, and parameters. Blinded ones
    say so, as those of `Chain.to_getdist` do.
    """
    from campaign.store.atomic import publish_many

    root = Path(root)
    weights = found.result.weights / found.result.weights.max()
    kept = weights > 0
    with np.errstate(divide="ignore"):
        rows = np.column_stack([weights, -np.log(weights), found.draws])[kept]
    units = [one.unit for one in found.estimates]
    text = getdist_head(found.names, units) + "".join(" ".join(map(repr, row)) + "\n" for row in rows.tolist())
    names = getdist_names(found.names, units)
    files = {root.with_name(f"{root.name}.txt"): text, root.with_name(f"{root.name}.paramnames"): names}
    publish_many([(path, own.encode()) for path, own in files.items()])
    return sorted(files)


def as_document(found: ReweightedRun) -> dict[str, Any]:
    """As JSON, without draws and weights."""
    fields = ("n_independent", "n_effective", "tail")
    return {
        "run_id": found.run_id,
        "changes": dict(found.changes),
        "priors": dict(found.priors),
        "n_draws": len(found.draws),
        "n_left_out": found.n_left_out,
        **{name: getattr(found.result, name) for name in fields},
        "log_ratio": found.log_ratio,
        "log_ratio_stderr": None if found.log_ratio is None else found.result.log_ratio_stderr,
        "parameters": [{name: getattr(one, name) for name in Estimate.__dataclass_fields__} for one in found.estimates],
        "notes": list(found.notes),
    }
