"""Priors of the command line and of a configuration: the words of a manifest. No JAX.

H0=73.04,1.04                              normal
H0=uniform:60,80                           the kinds of a manifest: normal, uniform, truncated_normal
'mnu={"truncated_normal": [0.1, 0.1, 0, 1]}'     the same as JSON
sh0es, bbn                                 those that the package has by name
earlier.json                               the posterior of an earlier fit: what `fit-… --json` printed
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaign.science import Prior, UsageError, nearest
from campaign_cosmology.data.tables import NAMES
from campaign_cosmology.model.prior import inside, parsed_priors
from campaign_cosmology.model.space import PARAMETERS

NAMED = {name.partition(":")[2]: name for name in NAMES if name.startswith("prior:")}
FORMS = (
    "H0=73.04,1.04 (mean and error), H0=uniform:60,80, mnu=truncated_normal:0.1,0.1,0,1 (mean, error, bounds), "
    f"{', '.join(NAMED)}, or the file of an earlier fit's --json"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPriors:
    """What priors do to a fit.

    Attributes:
        datasets: names of the data sets that the normal ones, the named ones and earlier posteriors are.
        bounds: parameter → (lower, upper) of uniform and truncated ones.
        documents: those with bounds, as a manifest writes them.
    """

    datasets: tuple[str, ...] = ()
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    documents: Mapping[str, Any] = field(default_factory=dict)


def given_priors(texts: Sequence[str], documents: Mapping[str, Any]) -> GivenPriors:
    """Priors of --prior, over those of a configuration file.

    Raises:
        UsageError: none of the forms; a file that is no result. KeyError (UnknownName): no such parameter or name.
        ValueError (InvalidValue): a distribution that is none of the kinds, or its numbers.
    """
    datasets, own = [], dict(documents)
    for text in texts:
        name, sign, body = text.partition("=")
        if sign and name.strip().isidentifier():
            own[name.strip()] = _document(text, body.strip())
        else:
            datasets.append(_known(text))
    priors = parsed_priors(own)
    normal = {name: (prior.numbers[0], prior.numbers[1]) for name, prior in priors.items() if prior.kind != "uniform"}
    if normal:
        from campaign_cosmology.api.own_priors import own_prior

        datasets.append(own_prior(normal))
    cut = {name: prior for name, prior in priors.items() if prior.kind != "normal"}
    return GivenPriors(
        datasets=tuple(datasets),
        bounds={name: _bounds(name, prior) for name, prior in cut.items()},
        documents={name: {prior.kind: list(prior.numbers)} for name, prior in cut.items()},
    )


def _document(text: str, body: str) -> Any:
    """``73,1`` → {"normal": [73, 1]}; ``uniform:60,80`` → {"uniform": [60, 80]}; JSON as it is."""
    try:
        if body.startswith("{"):
            return json.loads(body)
        kind, sign, numbers = body.rpartition(":")
        return {kind.strip() if sign else "normal": [float(word) for word in numbers.split(",")]}
    except ValueError:
        raise UsageError(f"--prior {text} is no prior", hint=FORMS) from None


def _known(text: str) -> str:
    """The data set of a name, or of the file of an earlier fit."""
    name = text.strip().lower().removeprefix("prior:")
    if name in NAMED:
        return NAMED[name]
    path = Path(text)
    if path.suffix != ".json":
        raise UsageError(f"--prior {text} is no prior; {nearest(name, NAMED)}", hint=FORMS)
    from campaign_cosmology.api.own_priors import own_posterior

    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return own_posterior(document)
    except OSError as error:
        raise UsageError(f"--prior {text}: the file cannot be read: {error.strerror}", hint=FORMS) from None
    except (AttributeError, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError):
        hint = "what `fit-… --optimize … --json` printed"
        raise UsageError(f"--prior {text}: the file holds no result of a fit", hint=hint) from None


def _bounds(name: str, prior: Prior) -> tuple[float, float]:
    found = inside(PARAMETERS[name], prior)
    return found.lower, found.upper
