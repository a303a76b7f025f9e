"""``campaign xpcs simulate``: maps behind which known parameters stand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from campaign.science import UnknownName, UsageError, nearest
from campaign_xpcs.api.result_files import published, write_maps
from campaign_xpcs.commands.drawing import check_form
from campaign_xpcs.data.maps import TwoTimeMaps
from campaign_xpcs.data.units import Q_RANGE
from campaign_xpcs.data.yaml_config import XpcsConfig, load_config
from campaign_xpcs.model.options import SIMULATED, TRUTH
from campaign_xpcs.model.simulated import simulated_maps


def simulate(
    path: Path,
    *,
    config_path: Path | None,
    mode: str | None,
    qs: Sequence[float],
    true: Sequence[str],
    angles: int,
    frames: int,
    contrast: float,
    offset: float,
    sigma: float,
    seed: int,
    plot: Path | None,
) -> list[Path]:
    """Write maps. Without a configuration, geometry and parameters are those of simulated problems.

    Returns:
        The files.
    """
    if path.suffix not in (".npz", ".h5"):
        raise UsageError(f"{path} is no .npz and no .h5 file", hint="a NumPy archive of one q, or HDF5 of several")
    if len(qs) > 1 and path.suffix == ".npz":
        raise UsageError(
            f"an .npz file holds one q, and {len(qs)} are given", hint="write an .h5 file, or several files"
        )
    check_form(plot)
    given: dict[str, Any] = {"mode": "laminar_flow", "shear_model": "physical", **SIMULATED}
    truth = {**TRUTH, "contrast": contrast, "offset": offset}
    if config_path is not None:
        config = load_config(config_path)
        truth |= config.parameters.values
        given |= _geometry(config)
        frames = config.n_frames or frames
    given["mode"] = mode or given["mode"]
    truth |= dict(_number(one) for one in true)
    unknown = sorted(set(truth) - {*TRUTH, *(f"{name}[{k}]" for name in ("contrast", "offset") for k in range(angles))})
    if unknown:
        raise UnknownName(f"`{unknown[0]}` is no parameter of simulated maps", hint=nearest(unknown[0], TRUTH))
    phi = np.linspace(-180.0, 180.0, angles, endpoint=False) + (0.0 if angles > 3 else 10.0)
    own = {"phi_deg": phi, "n_times": frames, "sigma": sigma}
    maps = [
        simulated_maps(truth, **own, seed=seed + n, **{**given, "q": _in_range(q)})
        for n, q in enumerate(qs or [given["q"]])
    ]
    written = [write_maps(path, maps)]
    if plot is not None:
        written.append(_drawn(plot, maps[0]))
    return written


def _geometry(config: XpcsConfig) -> dict[str, Any]:
    own = {"q": config.q, "gap": config.gap, "dt_s": config.dt_s}
    named = {"mode": config.analysis_mode, "shear_model": config.shear_model, "integration": config.integration}
    return named | {name: value for name, value in own.items() if value is not None}


def _number(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not np.isfinite(number):
        raise UsageError(f"--true {text} is no parameter with a finite number", hint="--true D0=1500")
    return name.strip(), number


def _in_range(q: float) -> float:
    low, high = Q_RANGE
    if not low <= q <= high:
        raise UsageError(f"q is {q:g} 1/Å; valid: {low:g} to {high:g}", hint="is it in 1/nm? 1/nm is 0.1/Å")
    return q


def _drawn(path: Path, maps: TwoTimeMaps) -> Path:
    from campaign_xpcs.figures import new_figure
    from campaign_xpcs.figures.maps import draw_data

    figure = new_figure(4.6, 3.8)
    draw_data(figure, maps.times_s, maps.c2[0], maps.mask[0], f"φ = {maps.phi_deg[0]:g}°")
    with published(path) as temporary:
        figure.savefig(temporary)
    return path
