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

    preset: Literal["cmaes-fast", "cmaes", "cmaes-global"] = Field("cmaes", description="50, 100 or 200 generations")
    max_generations: int | None = Field(None, ge=1, description="generations of a restart; null: the preset's")
    popsize: int | None = Field(None, ge=2, description="population; null: 4 + ⌊3 ln n⌋")
    sigma: float = Field(0.5, gt=0, le=1, description="first step size, as a fraction of the bounds")
    tol_fun: float = Field(1e-8, gt=0, description="relative change of the loss below which a restart ends")
    tol_x: float = Field(1e-8, gt=0, description="step size below which a restart ends")
    restart_strategy: Literal["none", "bipop"] = Field("bipop", description="alternately large and small populations")
    max_restarts: int = Field(9, ge=0, description="most restarts")
    population_batch_size: int | None = Field(None, ge=1, description="points of a generation at once; null: all")
    data_chunk_size: int | None = Field(None, ge=1, description="data points at once; null: all")
    refine_with_nlsq: bool = Field(True, description="fit from the best point found; the covariance comes from there")
    auto_select: bool = Field(True, description="several starts instead where the scale ratio is small")
    scale_threshold: float = Field(1000.0, gt=0, description="scale ratio above which CMA-ES is used")
    memory_limit_gb: float = Field(8.0, gt=0, description="memory for which the refinement's way is chosen [GB]")
    refinement_workflow: Literal["auto", "standard", "streaming"] = Field("auto", description="by memory, or one way")
    refinement_ftol: float = Field(1e-10, ge=0, lt=1, description="`ftol` of the refinement")
    refinement_xtol: float = Field(1e-10, ge=0, lt=1, description="`xtol` of the refinement")
    refinement_gtol: float = Field(1e-10, ge=0, lt=1, description="`gtol` of the refinement")
    refinement_max_nfev: int = Field(500, ge=1, description="most steps of the refinement")
    refinement_loss: Literal["linear", "soft_l1", "huber", "cauchy"] = Field("linear", description="its loss")
    seed: int = Field(42, ge=0, description="all random numbers follow from it")

    @property
    def generations(self) -> int:
        """Generations of a restart: what is given, else the preset's."""
        return PRESETS[self.preset] if self.max_generations is None else self.max_generations

    @classmethod
    def from_nlsq_config(cls, config: Any) -> CMAESWrapperConfig:
        """The settings that an `NLSQConfig` has."""
        return config.cmaes
