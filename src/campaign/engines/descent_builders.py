"""`gd` and `pgd` from their options."""

from __future__ import annotations

import json
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from campaign.engines.base import AbstractEngine
from campaign.engines.catalogue_descent import DescentOptions, GdOptions, PgdOptions
from campaign.engines.curved import Sources, Weights
from campaign.engines.descent import Descent, Guarding
from campaign.engines.direction import Momentum
from campaign.engines.families import Blocks
from campaign.engines.mapped import mapped
from campaign.engines.rates import Rule
from campaign.engines.vectors import Vector, read_vector


def common(options: DescentOptions) -> dict[str, Any]:
    """What `Descent` takes of the options that all of its kind have."""
    return {
        "limit": np.inf if options.max_step is None else options.max_step,
        "tol": options.tol,
        "ftol": options.ftol,
        "patience": options.patience,
        "schedule": None if options.schedule is None else json.dumps(options.schedule),
        "objective": options.objective,
        "max_steps": options.max_steps,
        "chunk_steps": options.chunk_steps,
    }


def blocks_of(options: DescentOptions) -> Blocks:
    return tuple((name, tuple(members)) for name, members in options.blocks.items())


def averages(blend: float = 0.5, memory: float = 0.5, beta: float = 0.99) -> Weights:
    return Weights(jnp.asarray(blend), jnp.asarray(memory), jnp.asarray(beta), jnp.asarray(jnp.inf))


def build_gd(options: GdOptions) -> AbstractEngine:
    """One rate for all: power 0 of the curvature, which only tells when the run has converged."""
    engine = Descent(
        **common(options),
        base_lr=1.0 if isinstance(options.base_lr, str) else options.base_lr,
        is_auto=isinstance(options.base_lr, str),
        weights=averages(),
        direction=Momentum(options.momentum, options.nesterov, True),
        user_curvature=None,
        user_rates=None,
        user_names=None,
        sources=Sources(is_needed=False),
        rule=Rule(power=0.0, floor_rel=0.0),
        guarding=Guarding(blocks_of(options)),
    )
    return mapped(engine, options)


def build_pgd(options: PgdOptions) -> AbstractEngine:
    is_plain = options.precond == "inverse-sqrt"
    given = options.lr_vec if options.lr_vec is not None else options.user_curvature
    vector: Vector | None = None
    if given is not None:
        vector = read_vector(given, "lr_vec" if options.lr_vec is not None else "curvature")
    sources = Sources(
        names=options.sources,
        scale="none" if is_plain else options.scale,
        refresh_every=options.refresh_every,
        is_running=options.update == "running" and "ema_grad2" in options.sources,
        from_first=options.ema_init == "g0" and "ema_grad2" in options.sources,
        n_probes=options.n_probes,
        seed=options.probe_seed,
    )
    clip = options.clip
    engine = Descent(
        **common(options),
        base_lr=1.0 if isinstance(options.base_lr, str) else options.base_lr,
        is_auto=isinstance(options.base_lr, str) and options.lr_vec is None,
        weights=averages(options.blend, options.refresh_ema, options.beta),
        direction=Momentum(options.momentum, options.nesterov, sources.is_fixed or options.lr_vec is not None),
        user_curvature=jnp.asarray(vector.values) if vector and options.lr_vec is None else None,
        user_rates=jnp.asarray(vector.values) if vector and options.lr_vec is not None else None,
        user_names=vector.names if vector else None,
        sources=sources,
        rule=Rule(
            power=options.exponent,
            eps=options.added,
            floor_rel=0.0 if is_plain else options.floor_rel,
            curv_floor=options.curv_floor or 0.0,
            clip_of=options.clip_of,
            is_relative=options.clip_mode == "relative",
        ),
        guarding=Guarding(
            blocks=blocks_of(options),
            factor=tuple(options.block_scale.items()),
            clip=tuple((name, (pair[0], pair[1])) for name, pair in clip.items()) if isinstance(clip, dict) else (),
            everywhere=(clip[0], clip[1]) if isinstance(clip, list) else (0.0, math.inf),
        ),
    )
    return mapped(engine, options)
