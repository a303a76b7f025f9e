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
    data=(
        *("data", "q", "q_index", "dt_s", "first_frame", "n_frames", "phi_ranges", "diagonal_width", "block_average"),
        *("sigma", "n_phi", "phi_deg", "truth", "true_alpha", "true_beta", "true_gamma_dot_t_offset", "noise", "seed"),
        *("shard", "n_shards", "shard_seed"),
    ),
    description="homodyne X-ray photon correlation: diffusion and shear from two-time maps, measured or simulated",
)
