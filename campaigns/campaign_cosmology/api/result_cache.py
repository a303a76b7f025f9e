"""Optimisations that were made before, by everything that their numbers depend on. No entry is ever out of date.

The key is the SHA-256 of the data's numbers, the model with every fixed value and convention, the free parameters with
bounds and with the start where one was asked for, the optimiser with its options, and the code: this package's sources
and the versions of what it computes with. Whatever changes, changes the key. An entry that is damaged counts as none.
Only fits that consist of the package's own code are kept: what a registered function computes cannot be known from
outside.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from campaign.science import CampaignError, cache_folder, defaults
from campaign_cosmology.api.results import OptimizationResult
from campaign_cosmology.api.selection import data_hashes
from campaign_cosmology.model.objective import ProblemObjective
from campaign_cosmology.model.optimizers import BUILTIN_OPTIMIZERS, OPTIMIZERS
from campaign_cosmology.model.selection import Selection

FOLDER = "cosmology-optimisations"


def _digest(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def code_version() -> str:
    """SHA-256 of the package's sources and of the versions of what it computes with."""
    root = Path(__file__).resolve().parents[1]
    sources = {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.py"))
    }
    return _digest({**sources, **{name: version(name) for name in ("campaign", "jax", "jaxlib", "numpy", "scipy")}})


def key_of(
    selection: Selection, config: Mapping[str, Any], cov_scale: float, asked: Collection[str] | None = None
) -> str | None:
    """The key of an optimisation; None where it calls something that was registered.

    Args:
        asked: free parameters whose start was asked for; where stored defaults let the others begin is not part of the
            key, for an optimum that was stored would change it. None: every start was asked for.
    """
    method = config["method"] or "minimize"
    if not isinstance(selection.objective, ProblemObjective) or config.get("objective") is not None:
        return None
    if OPTIMIZERS.get(method) is not BUILTIN_OPTIMIZERS.get(method):
        return None
    space = selection.objective.problem.space
    begins = dict(zip(space.names, selection.objective.base.tolist(), strict=True))
    moved = set() if asked is None else {*selection.free} - {*asked}
    start = {name: value for name, value in begins.items() if name not in moved}
    words = {name: value for name, value in selection.params.items() if isinstance(value, str)}
    return _digest(
        {
            "model": selection.model,
            "start": start,
            "conventions": words,
            "free": list(selection.free),
            "space": [repr(parameter) for parameter in space.parameters],
            "datasets": [list(selection.datasets), list(selection.names)],
            "data": data_hashes(selection),
            "cov_scale": cov_scale,
            "blind": None if selection.blind is None else selection.blind.model_dump(),
            "config": {**config, "method": method, "bounds": None},  # bounds are in the space
            "code": code_version(),
        }
    )


def _path(key: str) -> Path:
    return Path(cache_folder()).parent / FOLDER / f"{key}.json"


def cached(key: str) -> OptimizationResult | None:
    """What was found before; None where nothing was, or what was kept is damaged."""
    try:
        document = json.loads(_path(key).read_text(encoding="utf-8"))
        if document["key"] != key or document["sha256"] != _digest(document["result"]):
            return None
        return OptimizationResult.from_dict(document["result"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(key: str, result: OptimizationResult) -> None:
    """Keep what was found. A folder that cannot be written costs nothing but the next computation."""
    try:
        plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        defaults.write_json(_path(key), {"key": key, "sha256": _digest(plain), "result": plain})
    except (CampaignError, OSError, ValueError, TypeError):
        return
