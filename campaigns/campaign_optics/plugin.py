"""The optics plug-in: what `campaign` reads before it imports JAX."""

from __future__ import annotations

from campaign.science import ProblemPlugin
from campaign_optics.model.options import BinaryFrameOptions, space

BINARY_FRAME = ProblemPlugin(
    name="binary-frame",
    version="1",
    options=BinaryFrameOptions,
    build="campaign_optics.model.problem:build",
    space=space,
    data=(
        *("data", "frame", "truth", "seed", "noise", "pixels", "pixel_offset_x", "pixel_offset_y"),
        *("pixel_response_rms", "response_seed", "jitter_as"),
    ),
    description="astrometry of a binary star: one image, measured or simulated, through a mask in the pupil",
)
