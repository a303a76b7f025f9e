"""The XPCS plug-in: what `campaign` reads before it imports JAX."""

from __future__ import annotations

from campaign.science import ProblemPlugin
from campaign_xpcs.model.options import XpcsOptions, space

XPCS = ProblemPlugin(
    name="xpcs",
    version="2",
    options=XpcsOptions,
    build="campaign_xpcs.model.building:build",
    space=space,
    description="homodyne X-ray photon correlation: diffusion and shear from two-time maps, measured or simulated",
)
