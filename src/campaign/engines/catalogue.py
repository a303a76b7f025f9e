"""The engines that come with `campaign`: their options and where they are built. No JAX."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from campaign.registry import Options, Plugin, Structural


class TrfOptions(Options):
    """Options of `trf`, bounded least squares."""

    max_steps: int = Field(200, ge=1, description="most steps of a run")
    chunk_steps: int = Field(32, ge=1, description="steps between two writes of trace and checkpoint")
    loss: Literal["linear", "soft_l1", "huber", "cauchy"] = Field(
        "linear", description="linear is χ²; the others forgive outliers"
    )
    f_scale: float = Field(1.0, gt=0, description="residual [σ] from which a robust loss counts an outlier")
    ftol: float = Field(
        1e-15, ge=0, lt=1, description="ends when the next step is predicted to gain at most this part of the loss"
    )
    xtol: float = Field(1e-10, ge=0, lt=1, description="ends when a step is at most this part of the parameters")
    gtol: float = Field(1e-10, ge=0, lt=1, description="ends when no column of J has a larger cosine with r")
    damping: float = Field(1e-3, gt=0, description="damping of the first step, relative to the squared columns of J")


TRF = Plugin(
    name="trf",
    version="1",
    options=TrfOptions,
    build="campaign.engines.trf:build",
    description="bounded nonlinear least squares (Levenberg–Marquardt, robust losses, covariance)",
)


class EnsembleOptions(Options):
    """Options of the affine-invariant ensemble sampler."""

    walkers: int = Field(32, ge=4, multiple_of=2, description="number of walkers, even, at least twice the parameters")
    steps: int = Field(2000, ge=1, description="stretch updates of every walker, burn-in included")
    burn_in: Annotated[float, Structural()] = Field(
        0.25, ge=0, description="left out of the posterior: a fraction of the steps below 1, else a number of steps"
    )
    thin: int = Field(1, ge=1, description="record every thin-th update")
    a: float = Field(2.0, gt=1, description="largest stretch of the move")
    init: Literal["ball", "prior"] = Field(
        "ball", description="walkers start around the start, or drawn from the prior"
    )
    spread: float = Field(1.0, gt=0, description="width of the ball in units of the parameters' scale")

    @property
    def burn_in_updates(self) -> int:
        """Updates that are left out of the posterior."""
        return int(self.burn_in * self.steps) if self.burn_in < 1 else int(self.burn_in)

    @model_validator(mode="after")
    def _consistent(self) -> EnsembleOptions:
        if self.steps % self.thin:
            raise ValueError(f"steps {self.steps} is not a multiple of thin {self.thin}")
        if self.burn_in >= 1 and self.burn_in != int(self.burn_in):
            raise ValueError(f"burn_in {self.burn_in} is neither a fraction below 1 nor a whole number of steps")
        if self.burn_in_updates >= self.steps:
            raise ValueError(f"burn_in {self.burn_in_updates} leaves nothing of {self.steps} steps")
        return self


class EvaluateOptions(Options):
    """Evaluation has no options."""


ENSEMBLE = Plugin(
    name="ensemble",
    version="1",
    options=EnsembleOptions,
    build="campaign.engines.ensemble:build",
    description="affine-invariant ensemble sampler (stretch move)",
    max_block=64,
    samples=True,
)

EVALUATE = Plugin(
    name="evaluate",
    version="1",
    options=EvaluateOptions,
    build="campaign.engines.evaluate:build",
    description="the model's predictions at the start, nothing moves",
    max_block=4096,
)
