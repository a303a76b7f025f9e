"""The cosmology plug-in: what `campaign` reads before it imports JAX."""

from __future__ import annotations

from campaign.science import ProblemPlugin
from campaign_cosmology.model.options import CosmologyOptions, check, inputs, space

COSMOLOGY = ProblemPlugin(
    name="cosmology",
    version="1",
    options=CosmologyOptions,
    build="campaign_cosmology.model.problem:build",
    build_many="campaign_cosmology.model.problem:build_many",
    space=space,
    inputs=inputs,
    check=check,
    data=("data", "own", "cov_scale", "bootstrap"),
    description="expansion of the universe: CMB distance priors, BAO, supernovae, priors and data of one's own",
)
