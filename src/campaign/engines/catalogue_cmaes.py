"""The engine `cmaes`: its options and where it is built. No JAX."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from campaign.engines.catalogue import _OBJECTIVE, MOST, Objective
from campaign.registry import EnginePlugin, Options

PRESETS = {"fast": (50, 5_000), "standard": (100, 20_000), "thorough": (200, 100_000)}
SIGMA, SIGMA_WARM = 0.5, 0.05  # of the box


class CmaesOptions(Options):
    """Options of `cmaes`."""

    preset: Literal["fast", "standard", "thorough"] = Field(
        "standard",
        description="generations of a descent and evaluations in all: 50, 5,000; 100, 20,000; or 200, 100,000",
    )
    generations: int | None = Field(
        None, ge=1, le=MOST, description="most generations of one descent; null: the preset's"
    )
    max_steps: int = Field(10_000, ge=1, le=MOST, description="most generations of all descents together")
    max_evaluations: int | None = Field(
        None, ge=1, le=MOST, description="no descent begins after so many evaluations; null: the preset's"
    )
    chunk_steps: int = Field(64, ge=1, le=MOST, description="generations between two writes of trace and checkpoint")
    objective: Objective = Field("likelihood", description=_OBJECTIVE)
    popsize: int | None = Field(
        None, ge=4, le=MOST, description="points of a generation of the first descent; null: 4 + ⌊3 ln d⌋"
    )
    batch: int | None = Field(
        None, ge=1, le=MOST, description="points evaluated at once; null: the first descent's generation"
    )
    warm: bool = Field(
        False, description="the start is known to be good: the first descent begins 0.05 of the box wide"
    )
    sigma: float | None = Field(
        None, gt=0, le=10, description="width of the first generation, as part of the box; null: 0.5, if `warm` 0.05"
    )
    max_restarts: int = Field(
        9, ge=0, le=16, description="restarts with twice the points (BIPOP; those with few points come in between)"
    )
    confirmations: int = Field(
        3, ge=0, le=1000, description="ends when so many descents have found the best minimum; 0: with the restarts"
    )
    ftarget: float | None = Field(None, description="ends where the cost is at most this")
    tolfun: float = Field(1e-8, ge=0, description="a descent ends when its costs of late differ by at most this, or …")
    tolx: float = Field(1e-8, ge=0, description="… it is nowhere wider than this part of the box")
    reach: float = Field(
        0.0, ge=0, description="half-width of the box in units of `scale` where a bound is infinite; 0: an error"
    )
    eliminate: bool | None = Field(
        None, description="solve for linear parameters at every point; null: where the problem says which they are"
    )
    refine: Literal["none", "trf", "varpro"] = Field(
        "none", description="least squares from the best point: it gives the errors, the search gives none"
    )
    refine_steps: int = Field(500, ge=1, le=MOST, description="most steps of the refinement")
    refine_tolerance: float = Field(1e-10, ge=0, lt=1, description="ftol, xtol and gtol of the refinement")

    @property
    def width(self) -> float:
        """σ of the first generation, as part of the box."""
        return self.sigma if self.sigma is not None else SIGMA_WARM if self.warm else SIGMA

    @model_validator(mode="after")
    def _refinable(self) -> CmaesOptions:
        if self.refine != "none" and self.objective != "likelihood":
            raise ValueError('least squares knows no priors: `refine` needs `objective: "likelihood"`')
        return self


CMAES = EnginePlugin(
    name="cmaes",
    version="1",
    options=CmaesOptions,
    build="campaign.engines.cmaes:build",
    records=("loss", "theta", "sigma", "popsize", "descent", "generation_loss", "n_evaluations"),
    description="global search by covariance matrix adaptation with BIPOP restarts, refined by least squares if asked",
    max_block=256,
    steps="max_steps",
)
