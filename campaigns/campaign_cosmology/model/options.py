"""What a manifest may say about a cosmological problem. No JAX."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from campaign.science import Options, ThetaSpace, Varying
from campaign_cosmology.data.tables import resolve
from campaign_cosmology.model.space import model_space


class CosmologyOptions(Options):
    """Model, data and conventions of a fit. Every result records all of them."""

    model: Literal["lcdm", "pbuf"] = Field("lcdm", description="ΛCDM, or PBUF")
    data: list[str] = Field(["cmb"], description="data sets: cmb, bao, bao_ani, sn, or kind:variant")
    form: Literal["normalised", "legacy", "manuscript"] = Field("normalised", description="equations of PBUF")
    constants: Literal["compat", "exact", "chw19"] = Field("compat", description="radiation convention")
    zstar: Literal["PLANCK18", "HS96", "HS96C", "FIXED", "EH98"] = Field("PLANCK18", description="last scattering")
    zdrag: Literal["AAN21", "EH98", "PBUF1345", "AUB15", "BGV23"] = Field(
        "AAN21", description="drag redshift; AUB15 and BGV23 are closed forms of r_d"
    )
    cov_scale: float = Field(1.0, gt=0.0, description="every covariance is multiplied by this")
    bootstrap: Annotated[int, Varying()] = Field(
        0, ge=0, description="0: the data as published; b ≥ 1: data with noise number b of the covariance added"
    )

    @field_validator("data")
    @classmethod
    def _known_and_disjoint(cls, names: list[str]) -> list[str]:
        resolve(names)
        return names


def space(options: CosmologyOptions) -> ThetaSpace:
    """The parameters of the problem, without JAX."""
    return model_space(options.model, resolve(options.data))


def inputs(options: CosmologyOptions) -> tuple[str, ...]:
    """Files that the problem reads besides the package's own tables."""
    if "sn:pantheon-plus" in resolve(options.data):
        from campaign_cosmology.data.pantheon_plus import COVARIANCE_FILE, TABLE_FILE

        return (TABLE_FILE, COVARIANCE_FILE)
    return ()
