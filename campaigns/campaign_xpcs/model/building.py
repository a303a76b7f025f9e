"""What `campaign` runs: maps, a part of them, or their likelihood without contrast and offset, from options."""

from __future__ import annotations

from typing import Any

import numpy as np

from campaign_xpcs.data import choosing
from campaign_xpcs.data.maps import TwoTimeMaps
from campaign_xpcs.data.stored_maps import StoredMaps
from campaign_xpcs.model import options as option_models
from campaign_xpcs.model.holding import held_maps
from campaign_xpcs.model.marginal import MarginalProblem, marginal_problem
from campaign_xpcs.model.options import SIMULATED, TRUTH, XpcsOptions
from campaign_xpcs.model.parameters import fields, is_static
from campaign_xpcs.model.problem import two_time_problem
from campaign_xpcs.model.shards import shard_rows
from campaign_xpcs.model.simulated import full_truth, simulated_maps
from campaign_xpcs.model.starts import find_starts
from campaign_xpcs.model.two_time import TwoTimeProblem


def build(options: XpcsOptions) -> TwoTimeProblem | MarginalProblem:
    """The problem of one run.

    Raises:
        DataFileError, InvalidValue, UnknownName, Unavailable: what is wrong with the file or the options.
    """
    truth, plan = {}, None
    if options.data is None:
        maps, truth = _simulated(options)
    else:
        maps, plan = held_maps(options)
    rows = None
    if options.n_shards > 1:
        rows = shard_rows(maps.n_times, options.shard, options.n_shards, options.shard_seed)
    scaling = None
    if options.fixed_contrast is not None and options.fixed_offset is not None:
        scaling = (_one_or_all(options.fixed_contrast), _one_or_all(options.fixed_offset))
    if options.init == "search":
        options = options.model_copy(
            update={
                "values": options.values | _searched(options, maps.coarse if isinstance(maps, StoredMaps) else maps)
            }
        )
    known = fields(options.mode, options.scaling, maps.n_phi, options.order)
    own: dict[str, Any] = {} if options.marginal else {"values": options.values, "bounds": options.bounds}
    if not options.marginal:
        own |= {"priors": option_models.priors(options), "fixed": options.fixed}
    problem = two_time_problem(
        maps,
        mode=options.mode,
        shear_model=options.shear_model,
        integration=options.integration,
        scaling=options.scaling,
        order=options.order,
        fixed_scaling=scaling,
        temper=options.n_shards,
        truth={name: truth[name] for name in (k.name for k in known) if name in truth},
        rows=rows,
        plan=plan,
        **own,
    )
    if not options.marginal:
        return problem
    return marginal_problem(
        problem, space=option_models.space(options), prior=options.marginal_prior, n_shards=options.n_shards
    )


def _simulated(options: XpcsOptions) -> tuple[TwoTimeMaps, dict[str, float]]:
    phi = option_models.simulated_angles(options)
    truth = TRUTH | option_models.simulated_truth(options)
    given = {name: getattr(options, name) or value for name, value in SIMULATED.items()}
    maps = simulated_maps(
        truth,
        phi_deg=phi,
        n_times=options.n_frames or 60,
        sigma=options.noise,
        seed=options.seed,
        mode=options.mode,
        shear_model=options.shear_model,
        integration=options.integration,
        **({**given, "gap": None} if is_static(options.mode) else given),
    )
    maps = choosing.masked_diagonal(maps, options.diagonal_width)
    found = full_truth(truth, options.mode, len(phi)) | {name: truth[name] for name in ("contrast", "offset")}
    return choosing.block_averaged(maps, options.block_average), found


def _searched(options: XpcsOptions, maps: TwoTimeMaps) -> dict[str, float]:
    limits = {name: (low, high) for name, (low, high) in options.bounds.items()}
    found = find_starts(
        maps,
        mode=options.mode,
        shear_model=options.shear_model,
        integration=options.integration,
        seed=options.init_seed,
        values=options.values,
        bounds=limits,
        fixed=tuple(options.fixed),
    )
    return found.best


def _one_or_all(values: list[float]) -> float | np.ndarray:
    return values[0] if len(values) == 1 else np.array(values)
