"""`optax`: Adam, RMSProp, SGD or any chain of optax's transformations, in scaled coordinates."""

from __future__ import annotations

import json

from campaign.engines.base import AbstractEngine
from campaign.engines.catalogue_descent import OptaxOptions
from campaign.engines.curved import Sources
from campaign.engines.descent import Descent, Guarding
from campaign.engines.descent_builders import averages, blocks_of, common
from campaign.engines.direction import Chain
from campaign.engines.mapped import mapped
from campaign.engines.rates import Rule


def build(options: OptaxOptions) -> AbstractEngine:
    """x = u/w, w = 1, `scale` or 1/√(Gauss–Newton diagonal at the start): x ← x − base_lr η(t) T(∂cost/∂x).

    With w = 1 the same numbers as ``optax.adam(base_lr)`` and its kin give.
    Source: Kingma & Ba 2015, arXiv:1412.6980 (Adam). Checked: tests/oracle/test_descent.py against loops of optax.
    """
    is_curved = options.scaling == "gn_diag"
    engine = Descent(
        **common(options),
        base_lr=options.base_lr,
        is_auto=False,
        weights=averages(),
        direction=Chain(json.dumps(options.chain)),
        user_curvature=None,
        user_rates=None,
        user_names=None,
        sources=Sources(scale="none" if options.scaling == "none" else "scale", is_needed=is_curved),
        rule=Rule() if is_curved else Rule(power=0.0, floor_rel=0.0),
        guarding=Guarding(blocks_of(options)),
    )
    return mapped(engine, options)
