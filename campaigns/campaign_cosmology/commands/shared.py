"""What several commands do: data and priors of the command line registered, warnings told. No JAX."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from campaign.science import UsageError


def own_names(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the data sets and priors that the command line brings along."""
    from campaign_cosmology.api.datasets import own_data, own_prior

    names = [own_data(*pair) for pair in given["own"]]
    priors: dict[str, tuple[float, float]] = {}
    for text in given["prior"]:
        name, _, numbers = text.partition("=")
        try:
            mean, sd = (float(word) for word in numbers.split(","))
        except ValueError:
            raise UsageError(f"--prior {text} is no prior", hint="--prior H0=73.04,1.04: mean and error") from None
        priors[name.strip()] = (mean, sd)
    return (*names, *([own_prior(priors)] if priors else []))


@contextmanager
def told() -> Iterator[None]:
    """Warnings as one line each on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for message in dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, UserWarning)):
        click.echo(f"warning: {message}", err=True)
