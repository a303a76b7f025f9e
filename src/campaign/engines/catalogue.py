"""The engines that come with `campaign`: their options and where they are built. Imports no JAX."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from campaign.registry import Options, Plugin


class TrfOptions(Options):
    """Options of `trf`, bounded least squares."""

    max_steps: int = Field(200, ge=1, description="most steps of a run")
    chunk_steps: int = Field(32, ge=1, description="steps between two writes of trace and checkpoint")
    loss: Literal["linear", "soft_l1", "huber", "cauchy"] = Field(
        "linear", description="linear is χ²; the others forgive outliers"
    )
    f_scale: float = Field(1.0, gt=0, description="residual [σ] from which a robust loss counts an outlier")
    ftol: float = Field(1e-10, ge=0, lt=1, description="ends when a step gains at most this part of the loss")
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
