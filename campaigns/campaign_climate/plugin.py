"""The climate plug-in: what `campaign` reads before it imports JAX."""

from __future__ import annotations

from campaign.science import ProblemPlugin
from campaign_climate.model.options import TwoLayerOptions, space

TWO_LAYER = ProblemPlugin(
    name="two-layer",
    version="1",
    options=TwoLayerOptions,
    build="campaign_climate.model.problem:build",
    build_many="campaign_climate.model.problem:build_many",
    space=space,
    data=("observations", "observation_files", "until", "reference", "weights", "ranges", "synthetic"),
    description="two-layer energy balance model of the climate: calibration on observed warming and ocean heat",
)
