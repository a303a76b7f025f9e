"""``campaign xpcs simulate``: maps behind which known parameters stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from campaign.science import UsageError
from campaign_xpcs.api.result_files import published, write_maps
from campaign_xpcs.data.yaml_config import load_config
from campaign_xpcs.model.options import SIMULATED, TRUTH
from campaign_xpcs.model.simulated import simulated_maps


def simulate(
    path: Path,
    *,
    config_path: Path | None,
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
    if path.suffix != ".npz":
        raise UsageError(f"{path} is no .npz file", hint="simulated maps are NumPy archives")
    truth = {**TRUTH, "contrast": contrast, "offset": offset}
    given = {"mode": "laminar_flow", "shear_model": "physical", **SIMULATED}
    if config_path is not None:
        config = load_config(config_path)
        truth |= config.parameters.values
        given["mode"], given["shear_model"] = config.analysis_mode, config.shear_model
        own = {"q": config.q, "gap": config.gap, "dt_s": config.dt_s}
        given |= {name: value for name, value in own.items() if value is not None}
        given["integration"] = config.integration
        frames = config.n_frames or frames
    phi = np.linspace(-180.0, 180.0, angles, endpoint=False) + (0.0 if angles > 3 else 10.0)
    maps = simulated_maps(truth, phi_deg=phi, n_times=frames, sigma=sigma, seed=seed, **given)
    written = [write_maps(path, maps)]
    if plot is not None:
        from campaign_xpcs.figures import new_figure
        from campaign_xpcs.figures.maps import draw_data

        figure = new_figure(4.6, 3.8)
        draw_data(figure, maps.times_s, maps.c2[0], maps.mask[0], f"φ = {maps.phi_deg[0]:g}°")
        with published(plot) as temporary:
            figure.savefig(temporary)
        written.append(plot)
    return written
