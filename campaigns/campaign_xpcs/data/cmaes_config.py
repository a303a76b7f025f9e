"""Settings of the global search. No JAX."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from campaign_xpcs.data.sections import Section

PRESETS = {"cmaes-fast": 50, "cmaes": 100, "cmaes-global": 200}  # generations


class CMAESWrapperConfig(Section):
    """Settings of `CMAESWrapper`, by the document's names.

    Checked: tests/unit/xpcs/data/test_xpcs_nlsq_config.py.
    """

    preset: Literal["cmaes-fast", "cmaes", "cmaes-global"] = Field(
        default="cmaes", description="50, 100 or 200 generations"
    )
    max_generations: int | None = Field(default=None, ge=1, description="generations of a restart; null: the preset's")
    popsize: int | None = Field(default=None, ge=2, description="population; null: 4 + ⌊3 ln n⌋")
    sigma: float = Field(default=0.5, gt=0, le=1, description="first step size, as a fraction of the bounds")
    tol_fun: float = Field(default=1e-8, gt=0, description="relative change of the loss below which a restart ends")
    tol_x: float = Field(default=1e-8, gt=0, description="step size below which a restart ends")
    restart_strategy: Literal["none", "bipop"] = Field(
        default="bipop", description="alternately large and small populations"
    )
    max_restarts: int = Field(default=9, ge=0, description="most restarts")
    population_batch_size: int | None = Field(
        default=None, ge=1, description="points of a generation at once; null: all"
    )
    data_chunk_size: int | None = Field(default=None, ge=1, description="data points at once; null: all")
    refine_with_nlsq: bool = Field(
        default=True, description="fit from the best point found; the covariance comes from there"
    )
    auto_select: bool = Field(default=True, description="several starts instead where the scale ratio is small")
    scale_threshold: float = Field(default=1000.0, gt=0, description="scale ratio above which CMA-ES is used")
    memory_limit_gb: float = Field(
        default=8.0, gt=0, description="of the document, without effect: the memory that is free is measured [GB]"
    )
    refinement_workflow: Literal["auto", "standard", "streaming"] = Field(
        default="auto", description="by memory, or one way"
    )
    refinement_ftol: float = Field(default=1e-10, ge=0, lt=1, description="`ftol` of the refinement")
    refinement_xtol: float = Field(default=1e-10, ge=0, lt=1, description="`xtol` of the refinement")
    refinement_gtol: float = Field(default=1e-10, ge=0, lt=1, description="`gtol` of the refinement")
    refinement_max_nfev: int = Field(default=500, ge=1, description="most steps of the refinement")
    refinement_loss: Literal["linear", "soft_l1", "huber", "cauchy"] = Field(default="linear", description="its loss")
    seed: int = Field(default=42, ge=0, description="all random numbers follow from it")

    @property
    def generations(self) -> int:
        """Generations of a restart: what is given, else the preset's."""
        return PRESETS[self.preset] if self.max_generations is None else self.max_generations

    @classmethod
    def from_nlsq_config(cls, config: Any) -> CMAESWrapperConfig:
        """The settings that an `NLSQConfig` has."""
        return config.cmaes
