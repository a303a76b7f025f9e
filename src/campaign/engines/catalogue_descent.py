"""The engines that go down the gradient: `gd`, `pgd`, `optax`. Their options and where they are built. No JAX."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from campaign.engines.chain_names import require_schedule, require_transform
from campaign.engines.theta_map import MappableOptions
from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.registry import DataFile, EnginePlugin, Options, Varying
from campaign.space import ThetaSpace

MOST = 2**31 - 1
Objective = Literal["posterior", "likelihood"]
Source = Literal[
    "auto", "gn_diag", "fim_diag", "hessian_diag", "hutchinson_hessian_diag", "ema_grad2", "empirical_fisher", "user"
]
Vector = dict[str, float] | Annotated[str, DataFile()]
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
GRADIENT_SQUARED = "ema_grad2"  # the source that is no second derivative
REST = "other"  # block of the parameters that no block names


class DescentOptions(MappableOptions):
    """What all engines that go down the gradient take."""

    max_steps: int = Field(1000, ge=1, le=MOST, description="most evaluations of a run; the first is of the start")
    chunk_steps: int = Field(50, ge=1, le=MOST, description="steps between two writes of trace and checkpoint")
    objective: Objective = Field("posterior", description="minimum of −(ln L + ln prior) or of −ln L")
    schedule: dict[str, Any] | None = Field(
        None, description='factor of the rate by step: {"schedule": an optax schedule, its options …}'
    )
    blocks: dict[str, list[str | int]] = Field(
        {}, description="families of parameters, by names or positions among the free ones"
    )
    max_step: float | None = Field(
        None, gt=0, description="most that a step moves a coordinate, in units of its `scale`; null: no limit"
    )
    tol: float = Field(1e-6, ge=0, description="ends when ½ Σ g²/curvature, what is left to gain [nats], is below this")
    ftol: float = Field(1e-6, ge=0, description="ends when `patience` steps lower the best loss by less than this")
    patience: int = Field(20, ge=1, le=MOST, description="steps without such a gain after which a run has stopped")

    @field_validator("schedule")
    @classmethod
    def _is_a_schedule(cls, schedule: dict[str, Any] | None) -> dict[str, Any] | None:
        if schedule is not None:
            require_schedule(schedule)
        return schedule

    @model_validator(mode="after")
    def _blocks_are_apart(self) -> DescentOptions:
        members = [str(one) for own in self.blocks.values() for one in own]
        twice = sorted({one for one in members if members.count(one) > 1})
        if twice:
            raise ValueError(f"`blocks` name {twice[0]} twice")
        if REST in self.blocks:
            raise ValueError(f"`{REST}` is the block of what no block names: choose another name")
        return self


class GdOptions(DescentOptions):
    """Options of `gd`."""

    base_lr: Annotated[float | Literal["auto"], Varying()] = Field(
        "auto",
        description="the rate, of all parameters; auto: 0.9 of the inverse of the largest curvature at the start",
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="part of the last step that goes on")
    nesterov: bool = Field(False, description="Nesterov's form of the momentum")

    @field_validator("base_lr")
    @classmethod
    def _positive(cls, value: float | str) -> float | str:
        return require_rate(value)


class PgdOptions(DescentOptions):
    """Options of `pgd`: a rate for each coordinate, from a diagonal curvature."""

    curvature: Source | list[Source] = Field(
        "auto",
        description="where the curvature is from; two are blended; auto: gn_diag with residuals, else Hutchinson",
    )
    precond: Literal["power", "inverse-sqrt"] = Field(
        "power", description="inverse-sqrt: 1/√(curvature + 1e-8), unscaled and without a floor"
    )
    power: float | None = Field(None, ge=0, description="rates fall as curvature^−power; null: 1, for ema_grad2 ½")
    base_lr: Annotated[float | Literal["auto"], Varying()] = Field(
        "auto", description="factor of all rates; auto: 0.9/λ, λ the largest preconditioned curvature at the start"
    )
    momentum: float = Field(0.6, ge=0, lt=1, description="part of the last step that goes on")
    nesterov: bool = Field(True, description="Nesterov's form of the momentum")
    scale: Literal["scale", "prior", "gn", "none"] = Field(
        "scale", description="units of the coordinates in which curvature is measured and floored"
    )
    blend: float = Field(0.5, ge=0, le=1, description="weight of the first of two sources")
    allow_mixed: bool = Field(False, description="blend squared gradients with second derivatives all the same")
    refresh_every: int | None = Field(None, ge=1, le=MOST, description="steps between two looks at the curvature")
    refresh_ema: float = Field(0.5, ge=0, lt=1, description="weight of the curvature before a refresh")
    floor_rel: float = Field(1e-10, ge=0, lt=1, description="least curvature, as a part of the largest")
    curv_floor: float | None = Field(None, gt=0, description="least curvature, in scaled coordinates")
    eps: float | None = Field(None, ge=0, description="added to the curvature; null: 0 with a floor, else 1e-8")
    block_scale: dict[str, float] = Field({}, description="factor of the rates of a block; 0 freezes it")
    clip: Pair | dict[str, Pair] | None = Field(None, description="least and largest rate, or those of each block")
    clip_of: Literal["lr", "precond"] = Field("lr", description="what is clipped: the rates, or the preconditioner")
    clip_mode: Literal["absolute", "relative"] = Field("absolute", description="relative: in units of scale²")
    n_probes: int = Field(64, ge=1, le=MOST, description="probes of Hutchinson's estimate")
    probe_seed: int = Field(0, ge=0, le=MOST, description="their seed")
    beta: float = Field(0.99, ge=0, lt=1, description="memory of ema_grad2")
    update: Literal["fixed_at_init", "running"] = Field(
        "fixed_at_init", description="ema_grad2: the first squared gradient, or its average while the run goes on"
    )
    ema_init: Literal["zero", "g0"] = Field(
        "zero", description="the average begins at 0 and is corrected for that, or at the first squared gradient"
    )
    user_curvature: Vector | None = Field(None, description='curvature by parameter, or a file; for the source "user"')
    lr_vec: Vector | None = Field(None, description="rates by parameter, or a file: used as they are")

    @field_validator("base_lr")
    @classmethod
    def _positive(cls, value: float | str) -> float | str:
        return require_rate(value)

    @field_validator("clip")
    @classmethod
    def _ordered(cls, clip: Any) -> Any:
        for low, high in clip.values() if isinstance(clip, dict) else [clip] if clip else []:
            if not 0 <= low <= high:
                raise ValueError(f"clip [{low}, {high}] is no range of rates")
        return clip

    @property
    def sources(self) -> tuple[str, ...]:
        given = self.curvature if isinstance(self.curvature, list) else [self.curvature]
        return tuple("gn_diag" if one == "fim_diag" else one for one in given)

    @property
    def exponent(self) -> float:
        """The power of the curvature that rates fall with."""
        if self.precond == "inverse-sqrt":
            return 0.5
        if self.power is not None:
            return self.power
        return 0.5 if set(self.sources) == {GRADIENT_SQUARED} else 1.0

    @property
    def added(self) -> float:
        """What is added to the curvature."""
        if self.eps is not None:
            return self.eps
        return 0.0 if self.precond == "power" and (self.floor_rel > 0 or self.curv_floor is not None) else 1e-8

    def _chosen(self, *names: str) -> set[str]:
        """Those of some options that are not at their defaults; a planned run states them all."""
        return {name for name in names if getattr(self, name) != type(self).model_fields[name].default}

    @model_validator(mode="after")
    def _consistent(self) -> PgdOptions:
        sources = self.sources
        if not 1 <= len(sources) <= 2 or len(set(sources)) != len(sources):
            raise ValueError(f"`curvature` takes one source or two different ones, not {list(sources)}")
        if GRADIENT_SQUARED in sources and len(sources) == 2 and not self.allow_mixed:
            raise ValueError(
                "squared gradients and second derivatives have different units; blend them with `allow_mixed` only"
            )
        if ("user" in sources) != (self.user_curvature is not None):
            raise ValueError('`user_curvature` and `"curvature": "user"` belong together: give both or neither')
        if self.precond == "inverse-sqrt" and (own := self._chosen("power", "scale", "floor_rel", "eps")):
            raise ValueError(f"`precond: inverse-sqrt` fixes `{min(own)}`: leave it out")
        taken = self._chosen("curvature", "precond", "power", "block_scale", "clip", "refresh_every")
        if self.lr_vec is not None and taken:
            raise ValueError(f"`lr_vec` gives the rates as they are: leave `{min(taken)}` out")
        if not all(0 <= factor < math.inf for factor in self.block_scale.values()):
            raise ValueError(f"block_scale needs numbers from 0 on, not {self.block_scale}")
        return self


class OptaxOptions(DescentOptions):
    """Options of `optax`."""

    chain: list[str | dict[str, Any]] = Field(
        ["adam"], min_length=1, description='transformations in order: names, or {"transform": name, its options …}'
    )
    base_lr: float = Field(0.1, gt=0, description="learning rate, in the coordinates that `scaling` says")
    scaling: Literal["none", "scale", "gn_diag"] = Field(
        "scale", description="coordinates: theta itself, in units of `scale`, or of 1/√(Gauss–Newton diagonal)"
    )

    @field_validator("chain")
    @classmethod
    def _are_transforms(cls, chain: list[Any]) -> list[Any]:
        for one in chain:
            require_transform(one)
        return chain


def require_rate(value: float | str) -> float | str:
    """`value`, where it is "auto" or a rate.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str) and not 0 < value < math.inf:
        raise ValueError(f"a rate is above 0 and finite, not {value}")
    return value


def check_descent(options: DescentOptions, space: ThetaSpace) -> None:
    """Whether blocks and vectors by name fit the free parameters.

    Raises:
        UnknownName: a block or a parameter that is none.
        InvalidValue: a vector of other parameters.
    """
    names = space.free_names
    for block, members in options.blocks.items():
        for one in members:
            if isinstance(one, int) and not 0 <= one < len(names):
                raise InvalidValue(
                    f"block `{block}` holds position {one}, and there are {len(names)} free parameters",
                    hint=f"valid: 0 to {len(names) - 1}",
                )
            if isinstance(one, str) and one not in names:
                raise UnknownName(f"block `{block}` names `{one}`, no free parameter", hint=nearest(one, names))
    if not isinstance(options, PgdOptions):
        return
    clipped = options.clip if isinstance(options.clip, dict) else {}
    if options.blocks:  # else they are those of the problem
        require_blocks((*options.block_scale, *clipped), (*options.blocks, REST))
    for option in ("lr_vec", "user_curvature"):
        given = getattr(options, option)
        if isinstance(given, Mapping) and options.theta_map is None:  # of modes the engine knows the number
            require_layout(option, tuple(given), names)


def require_blocks(named: tuple[str, ...], blocks: tuple[str, ...]) -> None:
    """Whether names are blocks.

    Raises:
        UnknownName: one is none.
    """
    for name in named:
        if name not in blocks:
            raise UnknownName(f"the engine names the block `{name}`, which is none", hint=nearest(name, blocks))


def require_layout(what: str, given: tuple[str, ...], names: tuple[str, ...]) -> None:
    """Whether a vector is of exactly the free parameters, in their order.

    Raises:
        InvalidValue: it is not.
    """
    if given != names:
        raise InvalidValue(
            f"`{what}` is of the parameters {', '.join(given) or 'none'}, the run's are {', '.join(names)}",
            hint="give one value for each free parameter, in this order",
        )


_RECORDS = (
    *("loss", "theta", "grad_norm", "step_norm", "base_lr", "accepted"),
    *("grad", "lr", "block_grad_norm", "z"),
)


def _plugin(name: str, options: type[Options], build: str, description: str) -> EnginePlugin:
    return EnginePlugin(
        name=name,
        version="1",
        options=options,
        build=build,
        records=_RECORDS,
        check=check_descent,
        description=description,
        max_block=256,
        steps="max_steps",
    )


GD = _plugin(
    "gd", GdOptions, "campaign.engines.descent_builders:build_gd", "gradient descent with one rate: the baseline"
)
SIMPLE_GD = replace(GD, name="run_simple_gd", description="another name of `gd`")
PGD = _plugin(
    "pgd",
    PgdOptions,
    "campaign.engines.descent_builders:build_pgd",
    "gradient descent with a rate per parameter, from curvature",
)
PRECONDITIONED_GD = replace(PGD, name="preconditioned_gd", description="another name of `pgd`")
OPTAX = _plugin(
    "optax",
    OptaxOptions,
    "campaign.engines.optax_chain:build",
    "Adam, RMSProp, SGD, or a chain of optax transformations",
)
