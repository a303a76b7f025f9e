"""What the steps of a fit tell an astronomer: named numbers over steps, and six panels of them, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from campaign.science import PanelRecipe, Signal, SignalSet, plot_panels
from campaign_optics.model.parameters import PLATE_SCALE, PRIMARY
from campaign_optics.physics.designs import raw_fluxes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

PANELS = (
    PanelRecipe(id="astrometry_residuals_uas", title="x, y error", signals=["x_error_uas", "y_error_uas"]),
    PanelRecipe(id="separation_residual_uas", title="separation error", signals=["separation_error_uas"]),
    PanelRecipe(id="plate_scale_error_ppm", title="plate scale error", signals=["plate_scale_error_ppm"]),
    PanelRecipe(id="raw_flux_error_ppm", title="flux error", signals=["raw_flux_a_error_ppm", "raw_flux_b_error_ppm"]),
    PanelRecipe(
        id="zernike_rms_nm",
        title="Zernike error",
        signals=["zernike_error_nm"],
        mode="summary",
        unit="nm",
        yscale="linear",
    ),
    PanelRecipe(
        id="zernike_components_nm", title="Zernike error", signals=["zernike_error_nm"], unit="nm", yscale="linear"
    ),
)  # what is not there is left out; what has no truth is NaN
_UNITS = {"_uas": "µas", "_ppm": "ppm", "_nm": "nm"}
_LABELS = {
    "raw_flux_a": "star A",
    "raw_flux_b": "star B",
    "plate_scale": "plate scale",
    "zernike": "Zernike coefficient",
}


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
    panels: Sequence[PanelRecipe] = PANELS,
    columns: int = 3,
) -> dict[str, Axes]:
    """Panels of signals over steps on a figure that is given; axes by the panel's id.

    Args:
        found: signals by name.
        steps: numbers of the steps.
        panels: recipes.
    """
    shown = [panel for panel in panels if all(name in found for name in panel.signals)]
    drawn = {name: _signal(name, values) for name, values in found.items()}
    known = SignalSet(signals=drawn, steps=steps, seconds=np.full(len(steps), np.nan))
    _, axes = plot_panels(known, shown, columns=columns, figure=figure)  # pyright: ignore[reportArgumentType]
    return dict(zip([panel.id for panel in shown], axes, strict=True))


def _signal(name: str, values: np.ndarray) -> Signal:
    """A signal as it is drawn: its unit is the end of its name."""
    end = next(end for end in _UNITS if name.endswith(end))
    own = name.removesuffix(end).removesuffix("_error")
    label = _LABELS.get(own, own)
    parts = tuple(f"{i}" for i in range(values.shape[1])) if values.ndim == 2 else ()
    kind = "ppm" if end == "_ppm" else "residual"
    return Signal(name=name, label=label, values=values, unit=_UNITS[end], parts=parts, kind=kind)
