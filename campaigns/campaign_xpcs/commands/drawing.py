"""The pictures of a fit as files, from what the fit has written."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from campaign.science import DataFileError, UsageError
from campaign_xpcs import figures
from campaign_xpcs.api.fitted import autocorrelation
from campaign_xpcs.api.result_files import published

FORMS = (".png", ".pdf", ".svg")


def check_form(path: Path | None) -> None:
    """Before anything is computed for it.

    Raises:
        UsageError: no kind of picture that is drawn.
    """
    if path is not None and path.suffix not in FORMS:
        raise UsageError(f"{path} is no picture that can be drawn", hint=f"valid: {', '.join(FORMS)}")


def draw_folder(folder: Path, output: Path, form: str = "png") -> list[Path]:
    """Draw ``fitted_data.npz`` of a folder.

    Raises:
        DataFileError: it is not there, or not one of these.
    """
    path = folder / "fitted_data.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return draw_arrays(arrays, output, form)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        hint = "`campaign xpcs fit` writes fitted_data.npz"
        reason = getattr(error, "strerror", None) or error
        raise DataFileError(f"`{path}` has no fit to draw: {reason}", hint=hint) from error


def draw_arrays(arrays: Mapping[str, np.ndarray], output: Path, form: str = "png") -> list[Path]:
    """A map of each angle, the rates, the angles, the residuals."""
    written = []
    times, phi = arrays["t"], arrays["phi_angles"]
    for k, angle in enumerate(phi):
        one = [arrays[name][k] for name in ("c2_exp", "c2_fit", "residual_over_sigma", "mask")]
        figure = figures.map_figure(times, *one, title=f"φ = {angle:g}°")
        written.append(_save(figure, output / f"c2_heatmaps_phi_{angle:.1f}deg.{form}"))
    rates = {name: (arrays[name], arrays[f"{name}_error"]) for name in ("D", "gamma_dot") if name in arrays}
    figure = figures.new_figure(4.6 * len(rates), 3.4)
    figures.draw_rates(figure, times, rates)
    written.append(_save(figure, output / f"rates.{form}"))
    figure = figures.new_figure(10.5, 3.2)
    scaling = [(arrays[name], arrays[f"{name}_error"]) for name in ("contrast", "offset")]
    figures.draw_angles(figure, phi, scaling[0], scaling[1], arrays["chi2_of_angle"], arrays["points_of_angle"])
    written.append(_save(figure, output / f"angles.{form}"))
    figure = figures.new_figure(9.0, 3.4)
    figures.draw_residuals(figure, arrays["residual_over_sigma"], autocorrelation(arrays["residual_over_sigma"]))
    written.append(_save(figure, output / f"residuals.{form}"))
    return written


def _save(figure, path: Path) -> Path:
    with published(path) as temporary:
        figure.savefig(temporary)
    return path


def draw_posterior_file(result, output: Path, best: Mapping[str, float] | None) -> Path:
    """The posterior of a sampler."""
    figure = figures.new_figure(1.5 * len(result.names) + 1.0, 1.5 * len(result.names) + 1.0)
    figures.draw_posterior(figure, result.names, result.draws, best)
    return _save(figure, output / "posterior.png")
