"""Priors on parameters, as what they do to a fit: a normal prior is one more measured number, a flat one is bounds.

So a prior takes part in everything that data take part in: chi2 and N, errors, profiles, samplers, evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from campaign.science import InvalidValue, Parameter, Prior, UnknownName, nearest, parse_prior
from campaign_cosmology.data.data_table import Table, content_hash
from campaign_cosmology.model.space import PARAMETERS

_KINDS = ("normal", "truncated_normal", "uniform")


def parsed_priors(documents: Mapping[str, Any]) -> dict[str, Prior]:
    """Priors by the names of parameters, from JSON: ``{"H0": {"normal": [73.04, 1.04]}}``.

    Raises:
        UnknownName: no such parameter. InvalidValue: a distribution that is none of normal, truncated_normal, uniform.
    """
    found = {}
    for name, document in documents.items():
        if name not in PARAMETERS:
            raise UnknownName(f"a prior on `{name}`, which is no parameter", hint=nearest(name, PARAMETERS))
        prior = parse_prior(document)
        if prior.kind not in _KINDS:
            raise InvalidValue(f"the prior of `{name}` is `{prior.kind}`", hint=f"valid: {', '.join(_KINDS)}")
        found[name] = prior
    return found


def prior_table(priors: Mapping[str, Prior]) -> Table | None:
    """The normal ones as a data set of their own, in the order of their names; None where there is none."""
    normal = {name: p for name, p in sorted(priors.items()) if p.kind != "uniform"}
    if not normal:
        return None
    mean, sd = (np.array([p.numbers[k] for p in normal.values()]) for k in (0, 1))
    none = np.full(len(normal), np.nan)
    document = {"quantity": list(normal), "value": mean.tolist(), "covariance": np.diag(sd**2).tolist()}
    text = ", ".join(f"{name} = {m:g} ± {s:g}" for name, m, s in zip(normal, mean, sd, strict=True))
    return Table(
        name="prior:given",
        kind="prior",
        quantity=tuple(normal),
        z=none,
        z_helio=none,
        value=mean,
        covariance=np.diag(sd**2),
        anchor=none,
        title=text,
        citation="",
        note="priors that were given",
        sha256=content_hash(document),
    )


def inside(parameter: Parameter, prior: Prior | None) -> Parameter:
    """The parameter between the bounds of its prior; its initial value goes inside.

    Raises:
        InvalidValue: the prior lies outside of the physical bounds.
    """
    if prior is None or prior.kind == "normal":
        return parameter
    low, high = (max(parameter.lower, prior.support[0]), min(parameter.upper, prior.support[1]))
    if not low < high:
        raise InvalidValue(
            f"the prior of `{parameter.name}` allows nothing inside its bounds",
            hint=f"valid: {parameter.lower:g} to {parameter.upper:g} {parameter.unit}".rstrip(),
        )
    width = high - low
    initial = float(np.clip(parameter.initial, low + 1e-3 * width, high - 1e-3 * width))
    keeps = low <= parameter.initial <= high
    return replace(parameter, lower=low, upper=high, initial=parameter.initial if keeps else initial)
