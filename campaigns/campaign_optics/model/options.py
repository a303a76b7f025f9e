"""What a manifest may say about images of a binary star. No JAX."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from campaign.science import DataFile, InvalidValue, Options, Prior, Structural, ThetaSpace, Varying, parse_prior
from campaign_optics.model import parameters
from campaign_optics.physics import designs
from campaign_optics.physics.designs import Design

_START = 3  # what a generator is for: the start of a run


class BinaryFrameOptions(Options):
    """Telescope, parameters, priors, and the image: measured, or simulated by the same or another telescope."""

    design: str = Field("testbed", description="telescope by name: testbed, flight, two-plane")
    pixels: int = Field(64, ge=2, le=1024, description="of the image, along each side; even")
    pupil_pixels: int = Field(64, ge=2, le=1024, description="of the grid over the pupil; even")
    oversample: int = Field(2, ge=1, le=16, description="points a pixel along each side")
    n_wavelengths: int = Field(3, ge=1, le=64, description="wavelengths from edge to edge of the band")
    primary_noll: list[int] | None = Field(None, description="Noll indices of the primary mirror; null: the design's")
    secondary_noll: list[int] = Field([], description="Noll indices of the secondary mirror; [] leaves it out")
    mask: str = Field("B", description="mask of the pupil: B, A (has an exact sign twin), none")
    infer: list[str] | None = Field(
        None, description="parameters that are free, numbers or vectors; null: all but the secondary mirror"
    )
    initial: dict[str, Any] = Field({}, description="parameter: value of what is fixed, and where runs start")
    priors: dict[str, Any] | Literal["none", "normal"] = Field(
        "none", description='parameter: distribution; "normal": about the initial values, with the usual widths'
    )
    penalty: bool = Field(False, description="normal priors as further residuals: least squares then find the MAP")
    likelihood: Literal["gaussian", "poisson"] = Field("gaussian", description="of the electrons of a pixel")
    normalize: bool = Field(False, description="ln L as a density of the data, for comparing models")
    read_noise_e: Annotated[float, Structural()] = Field(5.0, ge=0, description="of a pixel [electrons]")
    data: Annotated[str, DataFile()] | None = Field(
        None, description="measured frames: .npz, .npy, .fits, .csv, .zarr.zip; null: simulated ones"
    )
    frame: Annotated[int, Varying()] = Field(0, ge=0, description="number of the frame in a stack of them")
    chain: int = Field(
        1,
        ge=1,
        le=1000,
        description="consecutive frames in one run, each fitted from the optimum of the one before; engine `evaluate`",
    )
    truth: dict[str, Any] = Field(
        {}, description="parameter: value behind a simulated image, where not the initial one"
    )
    seed: Annotated[int, Varying()] = Field(0, ge=0, description="of the noise of a simulated image")
    noise: bool = Field(True, description="photon noise and read noise in a simulated image")
    pixel_offset_x: float = Field(0.0, description="of the detector, in a simulated image only [pixels]")
    pixel_offset_y: float = Field(0.0, description="of the detector, in a simulated image only [pixels]")
    pixel_response_rms: float = Field(0.0, ge=0, le=0.5, description="scatter of sensitivities, simulated only")
    response_seed: int = Field(1, ge=0, description="of the pixels' sensitivities")
    jitter_as: float = Field(0.0, ge=0, description="standard deviation of the pointing, simulated only [arcsec]")
    init: Literal["explicit", "prior", "prior-near"] = Field(
        "explicit",
        description="start: the initial values; a draw from the priors; or the truth (else the initial values) with "
        "noise as wide as the priors",
    )
    init_seed: Annotated[int, Varying()] = Field(0, ge=0, description="of a start that is drawn")

    @field_validator("design")
    @classmethod
    def _known_design(cls, name: str) -> str:
        designs.design(name)
        return name

    @field_validator("pixels", "pupil_pixels")
    @classmethod
    def _even(cls, n: int) -> int:
        if n % 2:
            raise ValueError(f"{n} is odd: the grid has to have two halves")
        return n

    @model_validator(mode="after")
    def _consistent(self) -> BinaryFrameOptions:
        space(self)
        parameters.values(self.truth, parameters.fields(telescope(self)))
        if self.data is not None and (self.truth or self.init == "prior-near"):
            raise ValueError("measured frames have no `truth`, and no start near it")
        return self


def telescope(options: BinaryFrameOptions) -> Design:
    """The design with the sizes that the options give."""
    own = designs.design(options.design)
    primary = own.primary_noll if options.primary_noll is None else tuple(options.primary_noll)
    return replace(
        own,
        image_pixels=options.pixels,
        pupil_pixels=options.pupil_pixels,
        oversample=options.oversample,
        n_wavelengths=options.n_wavelengths,
        primary_noll=primary,
        secondary_noll=tuple(options.secondary_noll),
    )


def priors(options: BinaryFrameOptions) -> dict[str, Prior]:
    """Distributions by the names of theta."""
    design = telescope(options)
    if isinstance(options.priors, str):
        return parameters.normal_priors(design, options.initial) if options.priors == "normal" else {}
    known = parameters.fields(design)
    return {
        name: parse_prior(own) for given, own in options.priors.items() for name in parameters.expanded([given], known)
    }


def space(options: BinaryFrameOptions) -> ThetaSpace:
    """The parameters of the problem, with the start of its run as initial values; without JAX."""
    design = telescope(options)
    found = parameters.space(design, infer=options.infer, initial=options.initial, priors=priors(options))
    if options.init == "explicit":
        return found
    start = _drawn(options, found)
    return ThetaSpace(
        tuple(
            replace(p, initial=float(np.clip(value, p.lower, p.upper))) if p.free else p
            for p, value in zip(found.parameters, start, strict=True)
        )
    )


def truth(options: BinaryFrameOptions) -> np.ndarray:
    """The theta behind a simulated image: `truth` where it says so, else the initial values.

    Raises:
        InvalidValue: a value out of its bounds.
    """
    design = telescope(options)
    own = parameters.values({**options.initial, **options.truth}, parameters.fields(design))
    return parameters.space(design, infer=None, initial={}, priors={}).theta(own)


def _drawn(options: BinaryFrameOptions, own: ThetaSpace) -> np.ndarray:
    rng = np.random.default_rng([options.init_seed, _START])
    unit, normal = rng.random(len(own)), rng.standard_normal(len(own))
    if options.init == "prior-near":
        sigmas = [p.prior.numbers[1] if p.prior and p.prior.kind == "normal" else p.typical for p in own.parameters]
        return truth(options) + np.array(sigmas) * normal
    missing = [p.name for p in own.parameters if p.free and p.prior is None]
    if missing:
        raise InvalidValue(
            f"`{missing[0]}` has no prior to draw a start from", hint='"priors": "normal", or "init": "explicit"'
        )
    return np.array(
        [p.initial if p.prior is None else float(p.prior.ppf(q)) for p, q in zip(own.parameters, unit, strict=True)]
    )
