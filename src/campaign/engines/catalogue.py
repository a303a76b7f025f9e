"""The engines that come with `campaign`: their options and where they are built. No JAX."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from campaign.engines.theta_map import MappableOptions
from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.registry import EnginePlugin, Options, Structural
from campaign.space import ThetaSpace

MOST = 2**31 - 1  # the counters of compiled loops are int32


class LeastSquaresOptions(Options):
    """Options of least squares in a trust region."""

    max_steps: int = Field(1000, ge=1, le=MOST, description="maximum number of steps; the first evaluates the start")
    chunk_steps: int = Field(32, ge=1, le=MOST, description="steps between writes of trace and checkpoint")
    loss: Literal["linear", "soft_l1", "huber", "cauchy"] = Field(
        "linear", description="linear is χ²; the others are robust against outliers"
    )
    chunk: int = Field(32768, ge=1, description="rows at once, for problems that give their residuals by row blocks")
    f_scale: float = Field(1.0, gt=0, description="residual [σ] from which a robust loss counts an outlier")
    ftol: float = Field(
        1e-15, ge=0, lt=1, description="ends when the next step is predicted to gain at most this fraction of the loss"
    )
    xtol: float = Field(
        1e-10, ge=0, lt=1, description="ends when a full step changes no parameter by more than this fraction of it"
    )
    gtol: float = Field(1e-10, ge=0, lt=1, description="ends when no column of J has a larger cosine with r")
    damping: float = Field(1e-3, gt=0, description="least damping of the first step, relative to the columns of J²")


class TrfOptions(LeastSquaresOptions, MappableOptions):
    """Options of `trf`, bounded least squares. The tolerances can only be met where convergence is shown at all."""


class VarproOptions(LeastSquaresOptions):
    """Options of `varpro`, least squares whose linear parameters are solved for at every step: those of `trf`."""


TRF = EnginePlugin(
    name="trf",
    version="3",
    options=TrfOptions,
    build="campaign.engines.trf:build",
    records=("loss", "theta", "grad_norm", "step_norm", "damping", "accepted", "z"),
    description="bounded nonlinear least squares (trust region, robust losses, covariance, row blocks)",
    steps="max_steps",
)
LM = replace(TRF, name="lm", description="another name of `trf`: damped Gauss–Newton steps")
GAUSS_NEWTON = replace(TRF, name="gauss-newton", description="another name of `trf`: undamped where that is safe")
VARPRO = EnginePlugin(
    name="varpro",
    version="1",
    options=VarproOptions,
    build="campaign.engines.varpro:build",
    records=("loss", "theta", "grad_norm", "step_norm", "damping", "accepted"),
    description="least squares with linear parameters eliminated exactly (variable projection), for problems that say which",
    steps="max_steps",
)


DEFAULT_WALKERS = 32  # or twice the parameters where that is more
Init = Literal["ball", "prior", "laplace", "explicit"]
_INIT = "walkers start around the start, drawn from the prior, from the curvature at the start, or at `positions`"


class SamplerOptions(MappableOptions):
    """What all samplers take."""

    thin: int = Field(1, ge=1, le=MOST, description="record every thin-th update")
    init: Init = Field("ball", description=_INIT)
    spread: float = Field(1.0, gt=0, description="width of the ball in units of the parameters' scale")
    positions: list[list[float]] | None = Field(
        None, description='free parameters of every walker, for `init: "explicit"`: one row a walker'
    )

    @model_validator(mode="after")
    def _positions_are_usable(self) -> SamplerOptions:
        if (self.init == "explicit") != (self.positions is not None):
            raise ValueError('`positions` and `init: "explicit"` belong together: give both or neither')
        if self.positions is not None:
            require_spread(self.positions)
        return self


def require_spread(positions: list[list[float]]) -> None:
    """Refuse walkers that cannot explore all directions: an ensemble never leaves the space that it spans.

    Raises:
        ValueError: rows of different length, a number that is not finite, or a condition number above 10⁸.
    """
    if len({len(row) for row in positions}) != 1 or not positions[0]:
        raise ValueError("`positions` needs rows of one length")
    x = np.asarray(positions, np.float64)
    if not np.isfinite(x).all():
        raise ValueError("`positions` needs finite numbers")
    centred = x - x.mean(axis=0)
    width = np.abs(centred).max(axis=0)
    if not (width > 0).all():
        column = int(np.argmin(width > 0))
        raise ValueError(f"all walkers of `positions` have the same parameter number {column + 1}: it would never move")
    unit = centred / width
    if np.linalg.cond(unit / np.linalg.norm(unit, axis=0)) > 1e8:
        raise ValueError("`positions` lie in a plane: the walkers would never leave it; scatter them in all directions")


class EnsembleOptions(SamplerOptions):
    """Options of the affine-invariant ensemble sampler."""

    walkers: int | None = Field(
        None,
        ge=4,
        le=MOST,
        multiple_of=2,
        description=f"number of walkers, even, at least twice the parameters; null: that, or {DEFAULT_WALKERS} if more",
    )
    steps: int = Field(2000, ge=1, le=MOST, description="updates of every walker, burn-in included")
    burn_in: Annotated[float, Structural()] = Field(
        0.25, ge=0, description="steps left out of the posterior: a fraction if below 1, else a number of steps"
    )
    a: float = Field(2.0, gt=1, description="largest stretch of the stretch move")
    moves: dict[Literal["stretch", "de", "snooker"], float] = Field(
        {"stretch": 1.0}, min_length=1, description="moves and how often each is made: stretch, de, snooker"
    )
    split: Literal["random", "even_odd"] = Field(
        "random", description="halves of the walkers: dealt anew before each update, or even and odd numbers"
    )

    @property
    def burn_in_updates(self) -> int:
        """Updates that are left out of the posterior."""
        return int(self.burn_in * self.steps) if self.burn_in < 1 else int(self.burn_in)

    @model_validator(mode="after")
    def _consistent(self) -> EnsembleOptions:
        if self.steps < self.thin:
            raise ValueError(f"steps {self.steps} is less than thin {self.thin}: nothing would be recorded")
        if self.burn_in >= 1 and self.burn_in != int(self.burn_in):
            raise ValueError(f"burn_in {self.burn_in} is neither a fraction below 1 nor a whole number of steps")
        if self.burn_in_updates >= self.steps // self.thin * self.thin:
            raise ValueError(f"burn_in {self.burn_in_updates} leaves nothing of {self.steps} steps")
        if not all(0 < weight < math.inf for weight in self.moves.values()):
            raise ValueError(f"moves need weights above 0, not {self.moves}")
        if "snooker" in self.moves and self.walkers is not None and self.walkers < 6:
            raise ValueError("the snooker move needs three partners: at least 6 walkers")
        if self.positions is not None and self.walkers not in (None, len(self.positions)):
            raise ValueError(f"{self.walkers} walkers and {len(self.positions)} rows of `positions`: give one number")
        return self


class HamiltonianOptions(SamplerOptions):
    """What `nuts` and `hmc` take."""

    chains: int = Field(4, ge=1, le=1024, description="independent chains; R-hat needs two")
    steps: int = Field(2000, ge=1, le=MOST, description="draws of every chain, warm-up included")
    warmup: int = Field(1000, ge=0, le=MOST, description="draws that tune step size and mass matrix, left out")
    target_accept: float = Field(0.8, gt=0, lt=1, description="acceptance rate that the step size is tuned to")
    mass: Literal["diagonal", "dense"] = Field("diagonal", description="mass matrix: for correlated parameters dense")
    metric: Literal["scale", "fisher"] = Field(
        "scale", description="mass matrix before the first window: the parameters' scale, or the curvature at the start"
    )

    @model_validator(mode="after")
    def _something_is_left(self) -> HamiltonianOptions:
        if self.warmup >= self.steps // self.thin * self.thin:
            raise ValueError(f"warmup {self.warmup} leaves nothing of {self.steps} steps")
        if self.positions is not None and self.chains != len(self.positions):
            raise ValueError(f"{self.chains} chains and {len(self.positions)} rows of `positions`: give one number")
        return self


class NutsOptions(HamiltonianOptions):
    """Options of `nuts`."""

    doublings: int = Field(10, ge=1, le=16, description="longest trajectory: 2^doublings − 1 leapfrog steps")


class HmcOptions(HamiltonianOptions):
    """Options of `hmc`."""

    leapfrog: int = Field(16, ge=1, le=65536, description="leapfrog steps of a trajectory")
    jitter: float = Field(0.2, ge=0, lt=1, description="each trajectory's step size is varied by up to this part")


class EvaluateOptions(Options):
    """Evaluation has no options."""


class JacobianOptions(Options):
    """Options of `jacobian`."""

    chunk: int = Field(
        65536, ge=1, le=MOST, description="rows a step, for problems that give their residuals by row blocks"
    )


class Linspace(Options):
    """Evenly spaced values, both ends included: ``{"linspace": [start, stop, n]}``."""

    linspace: tuple[float, float, Annotated[int, Field(ge=2, le=MOST)]]

    @field_validator("linspace", mode="before")
    @classmethod
    def _from_json(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


class ScanOptions(Options):
    """Options of `scan`, ln L on a grid."""

    grid: dict[str, Linspace | list[float]] = Field(
        min_length=1, description='free parameters and their values: a list, or {"linspace": [start, stop, n]}'
    )
    chunk: int = Field(256, ge=1, le=MOST, description="points a step")

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The lowest and the highest value of each scanned parameter."""
        grids = {name: grid_values(values) for name, values in sorted(self.grid.items())}
        return {name: (float(values.min()), float(values.max())) for name, values in grids.items()}

    @field_validator("grid")
    @classmethod
    def _finite(cls, grid: dict[str, Linspace | list[float]]) -> dict[str, Linspace | list[float]]:
        for name, values in grid.items():
            numbers = values.linspace if isinstance(values, Linspace) else values
            if not numbers or not all(math.isfinite(v) for v in numbers):
                raise ValueError(f"`{name}` needs at least one value, all finite, not {numbers}")
        return grid


def grid_values(values: Linspace | list[float]) -> np.ndarray:
    """The values of one scanned parameter."""
    return np.linspace(*values.linspace) if isinstance(values, Linspace) else np.asarray(values, np.float64)


def check_ranges(ranges: Mapping[str, tuple[float, float]], space: ThetaSpace) -> None:
    """Whether parameters can be scanned over these ranges.

    Raises:
        UnknownName: a name that is no free parameter.
        InvalidValue: values outside the parameter's bounds.
    """
    for name, ends in ranges.items():
        if name not in space.free_names:
            raise UnknownName(
                f"engine `scan`: `{name}` at `engine.grid` is not a free parameter",
                hint=nearest(name, space.free_names) + " A fixed one can be freed in `problem.free`.",
            )
        parameter = space[name]
        outside = [value for value in ends if not parameter.lower <= value <= parameter.upper]
        if outside:
            raise InvalidValue(
                f"engine `scan`: the grid of `{name}` has {outside[0]!r}, out of bounds",
                hint=f"valid: {parameter.lower:g} to {parameter.upper:g} {parameter.unit}".rstrip(),
            )


MANY_PARAMETERS = 30  # Huijser, Goodman & Brewer 2015, arXiv:1509.02230


def _many_parameters(options: EnsembleOptions, space: ThetaSpace) -> str | None:
    d = len(space.free_names)
    if d <= MANY_PARAMETERS:
        return None
    return f"`ensemble` mixes slowly with {d} free parameters; above {MANY_PARAMETERS}, `nuts` needs far fewer steps"


ENSEMBLE = EnginePlugin(
    name="ensemble",
    version="2",
    options=EnsembleOptions,
    build="campaign.engines.ensemble:build",
    records=("loss", "theta", "log_prob", "accepted", "z"),
    check=_many_parameters,
    description="affine-invariant ensemble sampler (stretch, differential evolution and snooker moves)",
    max_block=64,
    samples=True,
    steps="steps",
    thin="thin",
)

_HAMILTONIAN_RECORDS = ("loss", "theta", "log_prob", "accepted", "step_size", "divergent", "z")

NUTS = EnginePlugin(
    name="nuts",
    version="1",
    options=NutsOptions,
    build="campaign.engines.hamiltonian:build_nuts",
    records=_HAMILTONIAN_RECORDS,
    description="no-U-turn sampler: gradients, self-tuning, independent chains",
    max_block=64,
    samples=True,
    steps="steps",
    thin="thin",
    precisions=("float64",),  # blackjax's kernel computes in JAX's default float
)

HMC = EnginePlugin(
    name="hmc",
    version="1",
    options=HmcOptions,
    build="campaign.engines.hamiltonian:build_hmc",
    records=_HAMILTONIAN_RECORDS,
    description="Hamiltonian Monte Carlo with a fixed number of leapfrog steps",
    max_block=64,
    samples=True,
    steps="steps",
    thin="thin",
)

EVALUATE = EnginePlugin(
    name="evaluate",
    version="1",
    options=EvaluateOptions,
    build="campaign.engines.evaluate:build",
    records=("loss", "theta"),
    description="the model's predictions at the start; nothing is fitted",
    max_block=4096,
)

JACOBIAN = EnginePlugin(
    name="jacobian",
    version="2",
    options=JacobianOptions,
    build="campaign.engines.jacobian:build",
    records=("loss", "jacobian", "residuals"),
    description="Jacobian of the residuals at the start, Fisher matrix and its inverse, row block by row block",
    max_block=16,
)

SCAN = EnginePlugin(
    name="scan",
    version="1",
    options=ScanOptions,
    build="campaign.engines.scan:build",
    records=("loss", "log_likelihood", "theta"),
    check=lambda options, space: check_ranges(options.ranges, space),
    description="log likelihood on a fixed grid of some parameters",
    max_block=64,
)


Objective = Literal["posterior", "likelihood"]
_OBJECTIVE = "minimum of −(ln L + ln prior) or of −ln L"


class LbfgsOptions(MappableOptions):
    """Options of `lbfgs`."""

    max_steps: int = Field(1000, ge=1, le=MOST, description="most evaluations of a run; the first is of the start")
    chunk_steps: int = Field(64, ge=1, le=MOST, description="steps between two writes of trace and checkpoint")
    objective: Objective = Field("posterior", description=_OBJECTIVE)
    scaling: Literal["scale", "none", "gn_diag"] = Field(
        "scale",
        exclude_if=lambda value: value == "scale",  # run ids from before the option stay as they are
        description="coordinates: in units of `scale`, theta itself, or of 1/√(Gauss–Newton diagonal)",
    )
    memory: int = Field(10, ge=1, le=1000, description="corrections that the method keeps")
    ftol: float = Field(1e-12, ge=0, lt=1, description="ends when two steps in turn gain at most this part of the cost")
    gtol: float = Field(1e-8, ge=0, description="ends when the projected gradient, per `scale`, is at most this")


class ParticleSwarmOptions(Options):
    """Options of `particle-swarm`."""

    max_steps: int = Field(200, ge=1, le=MOST, description="moves of the swarm; the first evaluates where it starts")
    chunk_steps: int = Field(64, ge=1, le=MOST, description="steps between two writes of trace and checkpoint")
    objective: Objective = Field("posterior", description=_OBJECTIVE)
    particles: int = Field(40, ge=2, le=MOST, description="points that move together")
    init: Literal["prior", "ball"] = Field("prior", description="particles start from the prior, or around the start")
    spread: float = Field(1.0, gt=0, description="width of the ball in units of the parameters' scale")
    inertia: float = Field(0.7298, ge=0, lt=1, description="part of its velocity that a particle keeps")
    own: float = Field(1.49618, ge=0, description="pull of a particle's own best point")
    common: float = Field(1.49618, ge=0, description="pull of the swarm's best point")
    xtol: float = Field(1e-3, ge=0, description="ends when all particles are within so many `scale` of the best, and …")
    ftol: float = Field(1e-8, ge=0, description="… their costs within this part of it")


class RandomSearchOptions(Options):
    """Options of `random-search`."""

    samples: int = Field(1000, ge=1, le=MOST, description="draws from the prior, each evaluated once")
    chunk: int = Field(256, ge=1, le=MOST, description="points a step")
    objective: Objective = Field("likelihood", description=_OBJECTIVE)


class HostOptions(Options):
    """What all engines on the host take."""

    max_steps: int = Field(1000, ge=1, description="maximum number of iterations; the first evaluates the start")
    chunk_steps: int = Field(64, ge=1, description="steps between writes of trace and checkpoint")


class LbfgsbOptions(HostOptions):
    """Options of `scipy-lbfgsb`."""

    memory: int = Field(10, ge=1, description="corrections that the method keeps")
    ftol: float = Field(1e-13, ge=0, lt=1, description="ends when a step lowers the loss L by at most this·max(|L|, 1)")
    gtol: float = Field(1e-6, ge=0, description="ends when the projected gradient, per `scale`, is at most this")
    derivatives: Literal["auto", "finite"] = Field(
        "auto", description="auto: exact where JAX can differentiate, else finite differences"
    )


class NelderMeadOptions(HostOptions):
    """Options of `nelder-mead`."""

    max_steps: int = Field(5000, ge=1, description="maximum number of iterations; the first evaluates the start")
    chunk_steps: int = Field(256, ge=1, description="steps between writes of trace and checkpoint")
    simplex: float = Field(5.0, gt=0, description="edges of the first simplex, in units of the parameters' `scale`")
    xtol: float = Field(1e-4, gt=0, description="ends when the simplex is at most this wide, in `scale`, and …")
    ftol: float = Field(1e-8, gt=0, description="… its losses differ by at most this")
    adaptive: bool = Field(False, description="coefficients for many parameters")


class DifferentialEvolutionOptions(HostOptions):
    """Options of `differential-evolution`."""

    strategy: Literal[
        "best1bin", "best1exp", "rand1bin", "rand1exp", "rand2bin", "rand2exp", "randtobest1bin", "randtobest1exp",
        "currenttobest1bin", "currenttobest1exp", "best2exp", "best2bin",
    ] = Field("best1bin", description="mutation strategy, by scipy's name")  # fmt: skip
    population: int = Field(15, ge=1, description="points per parameter; at least five in total")
    reach: Annotated[float, Structural()] = Field(
        0.0, ge=0, description="half-width of the box in units of `scale` where a bound is infinite; 0: an error"
    )
    mutation_low: float = Field(0.5, ge=0, lt=2, description="smallest differential weight of a generation")
    mutation_high: float = Field(1.0, ge=0, lt=2, description="largest differential weight of a generation")
    recombination: float = Field(0.7, ge=0, le=1, description="probability of taking a parameter from the mutant")
    atol: float = Field(1e-6, ge=0, description="ends when the losses of a population spread by at most this …")
    tol: float = Field(1e-12, ge=0, description="… plus this × |their mean|")


class ScipyTrfOptions(HostOptions):
    """Options of `scipy-trf`."""

    loss: Literal["linear", "soft_l1", "huber", "cauchy"] = Field(
        "linear", description="linear is χ²; the others are robust against outliers"
    )
    f_scale: float = Field(1.0, gt=0, description="residual [σ] from which a robust loss counts an outlier")
    ftol: float = Field(
        1e-12, ge=1e-15, lt=1, description="ends when a step lowers the loss by less than this fraction"
    )
    xtol: float = Field(
        1e-12, ge=1e-15, lt=1, description="ends when a step is at most this fraction of the distance so far"
    )
    gtol: float = Field(1e-12, ge=1e-15, description="ends when no component of the scaled gradient is larger")
    derivatives: Literal["auto", "finite"] = Field(
        "auto", description="auto: exact where JAX can differentiate, else finite differences"
    )


LBFGS = EnginePlugin(
    name="lbfgs",
    version="1",
    options=LbfgsOptions,
    build="campaign.engines.lbfgs:build",
    description="minimum of −ln posterior or −ln L in a box by limited-memory BFGS, with Laplace errors",
    steps="max_steps",
)
PARTICLE_SWARM = EnginePlugin(
    name="particle-swarm",
    version="1",
    options=ParticleSwarmOptions,
    build="campaign.engines.particle_swarm:build",
    description="global search by a swarm of points that remember where they were best",
    max_block=256,
    steps="max_steps",
)
RANDOM_SEARCH = EnginePlugin(
    name="random-search",
    version="1",
    options=RandomSearchOptions,
    build="campaign.engines.random_search:build",
    description="the best of many draws from the prior",
    max_block=64,
    steps="samples",
)


def _on_host(name: str, module: str, options: type[HostOptions], description: str) -> EnginePlugin:
    return EnginePlugin(
        name=name,
        version="1",
        options=options,
        build=f"campaign.engines.{module}:build",
        description=description,
        max_block=64,
        steps="max_steps",
    )


LBFGSB = _on_host("scipy-lbfgsb", "lbfgsb", LbfgsbOptions, "minimum of −ln L in a box by L-BFGS-B (scipy, on the host)")
NELDER_MEAD = _on_host(
    "nelder-mead", "nelder_mead", NelderMeadOptions, "minimum of −ln L without derivatives (scipy, on the host)"
)
DIFFERENTIAL_EVOLUTION = _on_host(
    "differential-evolution",
    "differential_evolution",
    DifferentialEvolutionOptions,
    "global search for the minimum of −ln L in a box (scipy, on the host)",
)
SCIPY_TRF = _on_host(
    "scipy-trf", "scipy_trf", ScipyTrfOptions, "bounded nonlinear least squares by scipy, with covariance (on the host)"
)
