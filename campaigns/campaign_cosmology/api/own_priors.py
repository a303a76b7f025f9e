"""Priors as data sets: numbers that were measured before. No JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from campaign.science import InvalidValue
from campaign_cosmology.api.datasets import DATASET_LOADERS, Dataset, as_dataset, dataset_hash, is_own, load_dataset
from campaign_cosmology.data.data_table import Table, content_hash
from campaign_cosmology.model.prior import parsed_priors, prior_table
from campaign_cosmology.model.space import PARAMETERS


def own_prior(priors: Mapping[str, tuple[float, float]]) -> str:
    """Register normal priors, parameter → (mean, standard deviation), and give the name of that data set.

    Raises:
        ValueError (InvalidValue), KeyError (UnknownName): no such parameter, or no mean and standard deviation.
    """
    found = prior_table(parsed_priors({name: {"normal": list(pair)} for name, pair in priors.items()}))
    if found is None:
        raise InvalidValue("no prior is given", hint='own_prior({"H0": (73.04, 1.04)})')
    return _registered(replace(found, name=f"prior:{'-'.join(found.quantity)}-{found.sha256[:8]}"))


def own_posterior(result: Mapping[str, Any]) -> str:
    """Register the Gaussian posterior of an earlier fit as a prior, and give the name of that data set.

        N(best fit, covariance) of the parameters that the earlier fit constrained, with their correlations

    A fit that has it among its data may not have the data of the earlier one as well: they would count twice.

    Args:
        result: of `run_fit` with parameters optimised, also from JSON.

    Raises:
        ValueError (InvalidValue): no optimum, none with errors, or one of blinded parameters.
    """
    optimum = result.get("optimization")
    if not optimum:
        raise InvalidValue("the earlier result has no optimised parameters", hint="run_fit(…, optimization_params=[…])")
    meta = optimum["metadata"]
    if meta.get("blind") is not None:
        raise InvalidValue("the earlier result is blinded: its values are shifted", hint="fit it without `blind`")
    covariance = meta["covariance"]
    names = [name for name in covariance["parameters"] if name in PARAMETERS]
    if not names:
        raise InvalidValue("the earlier fit constrains no parameter: it has no errors")
    rows = [covariance["parameters"].index(name) for name in names]
    matrix = np.array(covariance["matrix"], float)[np.ix_(rows, rows)]
    values = [float(optimum["optimized_params"][name]) for name in names]
    none = np.full(len(names), np.nan)
    sha256 = content_hash({"quantity": names, "value": values, "covariance": matrix.tolist()})
    data = " + ".join(meta["datasets"])
    found = Table(
        name=f"prior:{'-'.join(names)}-{sha256[:8]}",
        kind="prior",
        quantity=tuple(names),
        z=none,
        z_helio=none,
        value=np.array(values),
        covariance=matrix,
        anchor=none,
        title=f"posterior of {optimum['model']} from {data}",
        citation="",
        note="the Gaussian posterior of an earlier fit",
        sha256=sha256,
    )
    return _registered(found, posterior_of=sorted(meta["data_sha256"].values()))


def refuse_twice(names: Sequence[str]) -> None:
    """Raises `InvalidValue` where an earlier posterior stands beside data that it was fitted to."""
    loaded = {name: load_dataset(name) for name in names if is_own(name)}
    earlier = {name: data["metadata"].get("posterior_of") for name, data in loaded.items()}
    for prior, known in earlier.items():
        for name in names if known else ():
            if dataset_hash(load_dataset(name)) in known:
                raise InvalidValue(
                    f"`{prior}` is the posterior of a fit to `{name}`, which is fitted here as well: it counts twice",
                    hint="fit to the other data alone",
                )


def _registered(found: Table, **metadata: Any) -> str:
    def loader() -> Dataset:
        data = as_dataset(found)
        return {**data, "metadata": {**data["metadata"], **metadata}}

    DATASET_LOADERS[found.name] = loader
    return found.name
