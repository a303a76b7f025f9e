"""Pictures of two-time fits: arrays in, a `matplotlib` figure out, one picture a file; nothing is shown or saved."""

from campaign_xpcs.figures.angles import draw_angles
from campaign_xpcs.figures.maps import draw_maps, map_figure
from campaign_xpcs.figures.posterior import draw_posterior
from campaign_xpcs.figures.rates import draw_rates
from campaign_xpcs.figures.residuals import draw_residuals
from campaign_xpcs.figures.style import new_figure
from campaign_xpcs.figures.wavevectors import draw_wavevectors

__all__ = [
    "draw_angles",
    "draw_maps",
    "draw_posterior",
    "draw_rates",
    "draw_residuals",
    "draw_wavevectors",
    "map_figure",
    "new_figure",
]
