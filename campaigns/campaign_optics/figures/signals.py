"""What the steps of a fit tell an astronomer: named numbers over steps, and six panels of them, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from campaign.science import Signal, draw_signal
from campaign_optics.model.parameters import PLATE_SCALE, PRIMARY
from campaign_optics.physics.designs import raw_fluxes

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

PANELS: tuple[Mapping[str, Any], ...] = (
    {"id": "astrometry_residuals_uas", "title": "x, y", "signals": ("x_error_uas", "y_error_uas")},
    {"id": "separation_residual_uas", "title": "separation", "signals": ("separation_error_uas",)},
    {"id": "plate_scale_error_ppm", "title": "plate scale", "signals": ("plate_scale_error_ppm",)},
    {"id": "raw_flux_error_ppm", "title": "flux", "signals": ("raw_flux_a_error_ppm", "raw_flux_b_error_ppm")},
    {"id": "zernike_rms_nm", "title": "Zernike", "signals": ("zernike_error_nm",), "mode": "summary"},
    {"id": "zernike_components_nm", "title": "Zernike", "signals": ("zernike_error_nm",), "mode": "components"},
)  # what is not there is left out; what has no truth is NaN
_UNITS = {"_uas": "µas", "_ppm": "ppm", "_nm": "nm"}


def signals(
    names: Sequence[str], theta: Float[np.ndarray, "T d"], truth: Mapping[str, float] | None = None
) -> dict[str, np.ndarray]:
    """Errors over steps by name, each (T,) or (T, k); NaN where a truth is missing.

    Args:
        names: of the columns of theta.
        theta: over steps.
        truth: by name.

    Returns:
        x_error_uas = 10⁶ (x − x*), likewise y and separation; plate_scale_error_ppm = 10⁶ (p/p* − 1);
        raw_flux_a_error_ppm and …_b of the photons of each star; zernike_error_nm = c − c*. Those whose parameters are
        among the names.
    """
    column = {name: theta[:, i] for i, name in enumerate(names)}
    known = truth or {}

    def true(name: str) -> float:
        return float(known.get(name, np.nan))

    found: dict[str, np.ndarray] = {}
    for own, name in (("x", "x_position_as"), ("y", "y_position_as"), ("separation", "separation_as")):
        if (key := f"binary.{name}") in column:
            found[f"{own}_error_uas"] = 1e6 * (column[key] - true(key))
    if PLATE_SCALE in column:
        found["plate_scale_error_ppm"] = 1e6 * (column[PLATE_SCALE] / true(PLATE_SCALE) - 1.0)
    keys = ("binary.log_flux_total", "binary.contrast")
    if all(key in column for key in keys):
        fluxes = raw_fluxes(*(column[key] for key in keys))
        for star, flux, goal in zip("ab", fluxes, raw_fluxes(*(true(key) for key in keys)), strict=True):
            found[f"raw_flux_{star}_error_ppm"] = 1e6 * (flux / goal - 1.0)
    modes = [name for name in names if name.startswith(PRIMARY)]
    if modes:
        found["zernike_error_nm"] = np.stack([column[name] - true(name) for name in modes], axis=1)
    return found


def draw_panels(
    found: Mapping[str, np.ndarray],
    steps: np.ndarray,
    figure: FigureBase,
    panels: Sequence[Mapping[str, Any]] = PANELS,
    columns: int = 3,
) -> dict[str, Any]:
    """Panels of signals over steps on a figure that is given; axes by the panel's id.

    Args:
        found: signals by name.
        steps: numbers of the steps.
        panels: recipes: id, title, signals, and mode ("components", "summary" or "hybrid").
    """
    shown = [panel for panel in panels if all(name in found for name in panel["signals"])]
    rows = -(-len(shown) // columns)
    places = figure.subplots(rows, min(columns, len(shown)), squeeze=False).ravel() if shown else []
    for place in places[len(shown) :]:
        place.remove()
    axes = dict(zip([panel["id"] for panel in shown], places[: len(shown)], strict=True))
    for panel in shown:
        draw_signal(axes[panel["id"]], _signal(panel, found), steps, mode=panel.get("mode", "components"))
    return axes


def _signal(panel: Mapping[str, Any], found: Mapping[str, np.ndarray]) -> Signal:
    parts = [found[name] for name in panel["signals"]]
    unit = next(unit for end, unit in _UNITS.items() if panel["signals"][0].endswith(end))
    many = len(parts) > 1
    values = np.stack(parts, axis=1) if many else parts[0]
    names = panel["signals"] if many else [f"{i}" for i in range(values.shape[1])] if values.ndim == 2 else ()
    short = tuple(name.removesuffix("_uas").removesuffix("_ppm").removesuffix("_error") for name in names)
    kind = "ppm" if unit == "ppm" else "residual"
    return Signal(name=panel["id"], label=panel["title"], values=values, unit=unit, parts=short, kind=kind)
