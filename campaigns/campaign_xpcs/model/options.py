"""What a manifest may say about two-time correlation maps. No JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from campaign.science import DataFile, InvalidValue, Options, Prior, ThetaSpace, Varying, nearest, parse_prior
from campaign_xpcs.data.units import GAP_RANGE, Q_RANGE
from campaign_xpcs.model import parameters

TRUTH = {
    "contrast": 0.3,
    "offset": 1.0,
    "D0": 2000.0,
    "alpha": -0.3,
    "D_offset": 100.0,
    "gamma_dot_t0": 2e-3,
    "beta": -0.2,
    "gamma_dot_t_offset": 1e-4,
    "phi0": -5.0,
}  # behind simulated maps, where nothing else is said
SIMULATED = {"q": 0.0054, "gap": 2.0e6, "dt_s": 0.1}  # 1/Å, Å, s: as in homodyne's template, at 10 frames a second


class XpcsOptions(Options):
    """Model, parameters, and the maps: measured, or simulated by the same model."""

    mode: Literal["laminar_flow", "static_isotropic", "static_anisotropic"] = Field(
        "laminar_flow", description="7 parameters of physics, or the 3 of diffusion alone"
    )
    shear_model: Literal["physical", "homodyne-compat"] = Field(
        "physical", description="(sin X/X)² with X = qLΓcos/2, or homodyne's fourth power of another argument"
    )
    integration: Literal["trapezoid", "exact"] = Field("trapezoid", description="of the rates over time")
    scaling: Literal["individual", "averaged", "fourier", "fixed"] = Field(
        "individual", description="contrast and offset: of each angle, of all, harmonics of φ, not fitted"
    )
    order: int = Field(2, ge=1, le=8, description='harmonics of "fourier"')
    fixed_contrast: list[float] | None = Field(None, description='of "fixed": one, or one an angle; null: quantiles')
    fixed_offset: list[float] | None = Field(None, description='of "fixed"')
    values: dict[str, float] = Field({}, description="parameter: value of what is fixed, and where runs start")
    bounds: dict[str, list[float]] = Field({}, description="parameter: [lower, upper]")
    priors: dict[str, Any] | Literal["none", "table"] = Field(
        "none", description='parameter: distribution; "table": truncated normals; "none": flat between the bounds'
    )
    fixed: list[str] = Field([], description="parameters that do not move")
    data: Annotated[str | None, DataFile(), Varying()] = Field(
        None, description="measured maps: .h5, .hdf5, .hdf, .nxs, .npz; null: simulated ones"
    )
    n_phi: int | None = Field(
        None,
        ge=1,
        description="angles; of a file: those that are left of it, so that it is not read to plan; null: ask it",
    )
    q: Annotated[float | None, Varying()] = Field(None, gt=0, description="wavevector, to 10 % that of a file [1/Å]")
    q_index: Annotated[int | None, Varying()] = Field(None, ge=0, description="number of the q in a file")
    gap: Annotated[float | None, Varying()] = Field(None, gt=0, description="from stator to rotor [Å]")
    dt_s: Annotated[float | None, Varying()] = Field(None, gt=0, description="of frames, where a file does not say it")
    first_frame: Annotated[int, Varying()] = Field(1, ge=1, description="of the window, counted from 1")
    n_frames: int | None = Field(None, ge=3, description="in the window, or simulated; null: to the end, or 60")
    phi_ranges: list[list[float]] | None = Field(
        None, description="angles of a file: [from, to], may pass 180 [degree]"
    )
    diagonal_width: int = Field(0, ge=0, description="points with |i − j| up to this do not count")
    block_average: int = Field(1, ge=1, description="frames in a block that is averaged")
    sigma: Annotated[float | Literal["far-lags"] | None, Varying()] = Field(
        None, description='error of a point; "far-lags": estimated of each angle; null: the file\'s, else 0.01'
    )
    held: Literal["auto", "memory", "file"] = Field(
        "auto", description='maps of an HDF5 file: read whole, or by slices in each pass; "auto": by the free memory'
    )
    truth: dict[str, float] = Field({}, description="parameter: value behind simulated maps")
    true_D0: Annotated[float | None, Varying()] = Field(None, description="in the place of `truth`, as an axis")  # noqa: N815
    true_alpha: Annotated[float | None, Varying()] = Field(None, description="in the place of `truth`")
    true_D_offset: Annotated[float | None, Varying()] = Field(None, description="in the place of `truth`")  # noqa: N815
    true_gamma_dot_t0: Annotated[float | None, Varying()] = Field(None, description="in the place of `truth`")
    true_beta: Annotated[float | None, Varying()] = Field(None, description="in the place of `truth`")
    true_gamma_dot_t_offset: Annotated[float | None, Varying()] = Field(None, description="in the place of `truth`")
    true_phi0: Annotated[float | None, Varying()] = Field(None, description="in the place of `truth`")
    phi_deg: list[float] | None = Field(None, description="simulated angles; null: `n_phi` (10) around the circle")
    noise: float = Field(0.01, gt=0, description="standard deviation of simulated noise; its σ too")
    seed: Annotated[int, Varying()] = Field(0, ge=0, description="of simulated noise")
    init: Literal["explicit", "search"] = Field(
        "explicit", description="start: the values; or the best of 16 short searches on coarse maps, for each run"
    )
    init_seed: Annotated[int, Varying()] = Field(0, ge=0, description="of the searches")
    shard: Annotated[int, Varying()] = Field(0, ge=0, description="number of the part of the points")
    n_shards: int = Field(1, ge=1, description="equal parts; priors are taken to the power of one over it")
    shard_seed: int = Field(0, ge=0, description="of the permutation")
    marginal: bool = Field(False, description="contrasts and offsets integrated out of ln L: for samplers")
    marginal_prior: Literal["flat", "normal"] = Field(
        "flat", description="of contrasts and offsets that are integrated"
    )

    @model_validator(mode="after")
    def _consistent(self) -> XpcsOptions:
        if self.shard >= self.n_shards:
            raise ValueError(f"there is no shard {self.shard} of {self.n_shards}; valid: 0 to {self.n_shards - 1}")
        if self.data is None:
            _check_simulated(self)
        else:
            _check_measured(self)
        if self.marginal and self.scaling not in ("individual", "averaged"):
            raise ValueError(f'`marginal` is for "individual" and "averaged" scaling, not "{self.scaling}"')
        _check_fixed_scaling(self)
        for name, limits, unit in (("gap", GAP_RANGE, "Å"), ("q", Q_RANGE, "1/Å")):
            value = getattr(self, name)
            if value is not None and not limits[0] <= value <= limits[1]:
                raise ValueError(
                    f"`{name}` is {value:g} {unit}; valid: {limits[0]:g} to {limits[1]:g}. Is the unit right?"
                )
        return self


def _check_simulated(options: XpcsOptions) -> None:
    for name in ("q_index", "phi_ranges"):
        if (value := getattr(options, name)) is not None:
            raise ValueError(f"`{name}` is {value}, to choose from a file, and there is no `data`")
    if options.sigma is not None:
        raise ValueError(f"`sigma` is {options.sigma}; simulated maps have the σ of their `noise` ({options.noise:g})")
    if options.phi_deg is not None and options.n_phi not in (None, len(options.phi_deg)):
        raise ValueError(f"`n_phi` is {options.n_phi}, and `phi_deg` has {len(options.phi_deg)}")
    n_phi = len(simulated_angles(options))
    known = {own.name for own in parameters.fields(options.mode, "individual", n_phi)} | {"contrast", "offset"}
    for name, value in simulated_truth(options).items():
        if name not in known:
            raise ValueError(f"`truth` has `{name}`, no parameter of `{options.mode}`; {nearest(name, known)}")
        if not np.isfinite(value):
            raise ValueError(f"`truth` of `{name}` is {value}; valid: a finite number")


def _check_measured(options: XpcsOptions) -> None:
    from campaign_xpcs.data.reading import HDF5

    own = [f"`{name}`" for name in simulated_truth(options)] + ["`phi_deg`"] * (options.phi_deg is not None)
    if own:
        raise ValueError(f"{', '.join(own)} of simulated maps, and the maps are those of `{options.data}`")
    if options.data is not None and not options.data.lower().endswith((*HDF5, ".npz")):
        raise ValueError(f"`data` is `{options.data}`, no kind of file that is known; valid: {', '.join(HDF5)}, .npz")


def _check_fixed_scaling(options: XpcsOptions) -> None:
    if (options.fixed_contrast is None) != (options.fixed_offset is None):
        raise ValueError("`fixed_contrast` and `fixed_offset` belong together: give both or neither")
    n_phi = len(simulated_angles(options)) if options.data is None else options.n_phi
    for name in ("fixed_contrast", "fixed_offset"):
        given = getattr(options, name)
        if given is None:
            continue
        if options.scaling != "fixed":
            raise ValueError(f'`{name}` has no effect on "{options.scaling}" scaling; valid: "scaling": "fixed"')
        if len(given) not in {1, n_phi or len(given)}:
            raise ValueError(f"`{name}` has {len(given)} numbers; valid: 1, or {n_phi}, one an angle")


def simulated_truth(options: XpcsOptions) -> dict[str, float]:
    """What is said of the parameters behind simulated maps."""
    axes = {name: getattr(options, f"true_{name}", None) for name in TRUTH}
    return options.truth | {name: value for name, value in axes.items() if value is not None}


def simulated_angles(options: XpcsOptions) -> np.ndarray:
    """Angles of simulated maps [degree]."""
    if options.phi_deg is not None:
        return np.array(options.phi_deg, np.float64)
    n = options.n_phi or 10
    return np.linspace(-180.0, 180.0, n, endpoint=False) + (0.0 if n > 3 else 10.0)


def priors(options: XpcsOptions) -> dict[str, Prior] | str:
    """Distributions by name, or the name of a set of them."""
    if isinstance(options.priors, str):
        return options.priors
    return {name: parse_prior(own) for name, own in options.priors.items()}


def count_angles(options: XpcsOptions) -> int:
    """n_phi; reads the file where the options do not say it."""
    if options.data is None:
        return len(simulated_angles(options))
    if options.n_phi is not None or options.scaling in ("averaged", "fixed") or options.marginal:
        return options.n_phi or 1
    return measured(options).n_phi


def measured(options: XpcsOptions):
    """The maps of the file that the options name.

    Raises:
        DataFileError, InvalidValue, Unavailable: what is wrong with it.
    """
    from campaign_xpcs.data.reading import read_maps

    return opened(
        options,
        read_maps,
        phi_ranges=options.phi_ranges,
        diagonal_width=options.diagonal_width,
        block_average=options.block_average,
    )


def opened(options: XpcsOptions, reader: Callable[..., Any], **more: Any) -> Any:
    """What a reader makes of the file, wavevector and frames that the options name.

    Raises:
        DataFileError, InvalidValue, Unavailable: what is wrong with it.
    """
    if options.data is None:
        raise InvalidValue("there is no `data`")
    first = options.first_frame
    maps = reader(
        options.data,
        q=options.q,
        q_index=options.q_index,
        dt_s=options.dt_s,
        gap=options.gap,
        sigma=options.sigma,
        first_frame=first,
        last_frame=None if options.n_frames is None else first + options.n_frames - 1,
        **more,
    )
    if options.n_phi not in (None, maps.n_phi):
        raise InvalidValue(f"the file has {maps.n_phi} angles, and `n_phi` is {options.n_phi}")
    return maps


def space(options: XpcsOptions) -> ThetaSpace:
    """The parameters of the problem; without JAX.

    Raises:
        UnknownName, InvalidValue: a name, a value or a bound that does not fit.
    """
    if options.marginal:
        known = parameters.physical(options.mode)
    else:
        known = parameters.fields(options.mode, options.scaling, count_angles(options), options.order)
    return parameters.space(
        known,
        values=options.values,
        bounds=options.bounds,
        priors=priors(options),
        fixed=options.fixed,
        temper=options.n_shards,
    )
