"""Figures of fits and campaigns: BAO and Hubble residuals, best fits, profiles, bootstraps, posteriors.

Pure functions from tables and arrays to a `matplotlib` figure, one picture a file; nothing is shown or saved.
"""

from campaign_cosmology.figures.bao import bao_residuals
from campaign_cosmology.figures.contours import posterior_contours
from campaign_cosmology.figures.estimates import best_fits
from campaign_cosmology.figures.evidences import bayes_factors
from campaign_cosmology.figures.hubble import hubble_residuals
from campaign_cosmology.figures.profiles import profile
from campaign_cosmology.figures.rows import parameters
from campaign_cosmology.figures.scatter import bootstrap_scatter

__all__ = [
    "bao_residuals",
    "bayes_factors",
    "best_fits",
    "bootstrap_scatter",
    "hubble_residuals",
    "parameters",
    "posterior_contours",
    "profile",
]
