"""Options of a map of theta that an engine works in. No JAX."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from campaign.registry import Options, Structural


class ThetaMap(Options):
    """Eigenmodes of the curvature at the start as coordinates."""

    kind: Literal["eigen"] = Field("eigen", description="eigenmodes of the curvature")
    curvature: Literal["fisher", "posterior"] = Field(
        "fisher", description="of the likelihood, or with that of the prior"
    )
    whiten: bool = Field(True, description="coordinates in standard deviations: curvature 1 in each at the start")
    truncate: int | None = Field(None, ge=1, description="only so many of the best constrained modes move")
    min_eigenvalue: Annotated[float | None, Structural()] = Field(
        None, gt=0, description="modes move whose eigenvalue, in units of the parameters' `scale`, is at least this"
    )
    reference: dict[str, float] | None = Field(
        None, description="where curvature is taken; null: the start; parameters left out are at the start"
    )

    @model_validator(mode="after")
    def _one_rule(self) -> ThetaMap:
        if self.truncate is not None and self.min_eigenvalue is not None:
            raise ValueError("`truncate` and `min_eigenvalue` both say which modes move: give one")
        return self


class MappableOptions(Options):
    """What an engine takes that may work in a map of theta."""

    theta_map: ThetaMap | None = Field(
        None,
        exclude_if=lambda value: value is None,  # run ids of runs without one stay as they are
        description="coordinates that the engine works in: eigenmodes of the curvature at the start",
    )
