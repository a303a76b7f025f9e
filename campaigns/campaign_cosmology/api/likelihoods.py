"""chi2 and predictions of one data set for a parameter dictionary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from campaign.science import CampaignError, InvalidValue, UnknownName, told
from campaign_cosmology.api.datasets import as_table, labels
from campaign_cosmology.api.results import ParameterDict
from campaign_cosmology.api.theory import predictions
from campaign_cosmology.data.data_table import Table
from campaign_cosmology.data.noise import whitened_noise
from campaign_cosmology.data.tables import table
from campaign_cosmology.judge.statistics import chi2_generic, chi2_of
from campaign_cosmology.model.space import MODELS

Likelihood = Callable[[ParameterDict, Mapping[str, Any]], tuple[float, dict[str, float]]]


def _table(data: Mapping[str, Any], kind: str) -> Table:
    """The table behind a data set of one kind.

    Raises:
        ValueError (InvalidValue): it is of another kind, or no data set.
    """
    if not isinstance(data, Mapping):
        raise InvalidValue(f"the data set is a {type(data).__name__}", hint=f"load_dataset({kind!r})")
    seen = data.get("dataset_type", kind)
    if seen != kind:
        raise InvalidValue(f"the data set is of type `{seen}`", hint=f"likelihood_{kind} needs `{kind}`")
    return as_table({**data, "dataset_type": kind})


def _chi2(params: ParameterDict, data: Mapping[str, Any], kind: str) -> tuple[float, dict[str, float]]:
    source = _table(data, kind)
    values = dict(zip(labels(source), predictions(params, source).tolist(), strict=True))
    return chi2_generic(values, data["observations"], source.covariance), values


def likelihood_cmb(params: ParameterDict, data: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
    """CMB distance priors: (chi2, {R, l_A, Obh2 [, ns]}).

    R = √Ω_m H0 D_M(z*)/c, l_A = π D_M(z*)/r_s(z*).
    Source: Chen, Huang & Wang 2019, arXiv:1808.05724. Derived in ΛCDM: for k_sat ≠ 1 an approximation.
    """
    return _chi2(params, data, "cmb")


def likelihood_bao(params: ParameterDict, data: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
    """Isotropic BAO: (chi2, {"DV_over_rd@z": value}), D_V = (z D_M² D_H)^(1/3)."""
    return _chi2(params, data, "bao")


def likelihood_bao_ani(params: ParameterDict, data: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
    """Anisotropic BAO: (chi2, {"DM_over_rd@z": …, "DH_over_rd@z": …, "DV_over_rd@z": …})."""
    return _chi2(params, data, "bao_ani")


def likelihood_sn(params: ParameterDict, data: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
    """Supernovae: (chi2, {"mag[i]@z": mu + M}), with the common offset M that fits best put in.

    M = −(1'C⁻¹r)/(1'C⁻¹1) with r = mu − m; it counts as one fitted parameter.
    """
    source = _table(data, "sn")
    mu = predictions(params, source)
    offset, _ = _offset(mu, source)
    values = dict(zip(labels(source), (mu + offset).tolist(), strict=True))
    return chi2_of(mu + offset - source.value, source.covariance), values


def _offset(mu: np.ndarray, source: Table) -> tuple[float, float]:
    ones = np.linalg.solve(source.covariance, np.ones(len(source)))
    return -float(ones @ (mu - source.value)) / float(ones.sum()), float(ones.sum()) ** -0.5


def offset_of(params: ParameterDict, data: Mapping[str, Any]) -> tuple[float, float]:
    """The magnitude offset M [mag] that fits supernovae best, and its error (1ᵀC⁻¹1)^(−1/2) with the model held."""
    source = _table(data, "sn")
    return _offset(predictions(params, source), source)


def likelihood_prior(params: ParameterDict, data: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
    """Priors and other numbers without a redshift: (chi2, {"H0": …, "Obh2": …})."""
    return _chi2(params, data, "prior")


def likelihood_bao_grid(params: ParameterDict, data: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
    """BAO whose likelihood is a published grid: (chi2 = −2 ln L, {"DM_over_rd@z": …}). Of the package's grids only.

    Source: eBOSS, arXiv:2007.08991. Checked: tests/oracle/test_cosmology_grids.py.
    """
    import jax.numpy as jnp

    from campaign_cosmology.model.blocks import interpolated

    source = table(str(data["metadata"]["name"]))
    if source.grid is None or data.get("dataset_type") != "bao_grid":
        raise InvalidValue("the data set is of no published grid", hint="bao_grid:eboss-elg, bao_grid:eboss-lya …")
    found = predictions(params, source)
    stretch = float(interpolated(source.grid, jnp.asarray(found)))
    chi2 = chi2_of(found - source.value, source.covariance) * stretch**2
    return chi2, dict(zip(labels(source), found.tolist(), strict=True))


BY_KIND: dict[str, Likelihood] = {
    "cmb": likelihood_cmb,
    "bao": likelihood_bao,
    "bao_ani": likelihood_bao_ani,
    "sn": likelihood_sn,
    "prior": likelihood_prior,
    "bao_grid": likelihood_bao_grid,
}
LIKELIHOOD_FUNCTIONS: dict[tuple[str, str], Likelihood] = {
    (model, kind): function for model in MODELS for kind, function in BY_KIND.items()
}
"""(model, kind of data) → likelihood. Add your own here; `run_fit` finds it."""
BUILTIN_LIKELIHOODS = dict(LIKELIHOOD_FUNCTIONS)


def find_likelihood(model: str, name: str, dataset_type: str | None = None) -> Any:
    """The likelihood registered for a model and a data set (its full name, its kind), else the own one of its kind or
    of what the data say they are.

    Raises:
        KeyError (UnknownName): there is none.
    """
    kind = name.partition(":")[0]
    found = LIKELIHOOD_FUNCTIONS.get((model, name)) or LIKELIHOOD_FUNCTIONS.get((model, kind)) or BY_KIND.get(kind)
    found = found or BY_KIND.get(str(dataset_type))
    if found is None:
        raise UnknownName(
            f"no likelihood is registered for model `{model}` and data set `{name}`",
            hint=f'LIKELIHOOD_FUNCTIONS[("{model}", "{name}")] = your_function',
        )
    return found


def answer(model: str, name: str, params: ParameterDict, data: Mapping[str, Any]) -> tuple[float, dict[str, float]]:
    """(chi2, predictions) of the likelihood of a model and a data set; predictions without labels are numbered.

    Raises:
        ValueError (InvalidValue): a registered one raises, or returns something else; with its place.
    """
    function = find_likelihood(model, name, data.get("dataset_type"))
    if function in BY_KIND.values():
        return function(params, data)
    try:
        found = function(params, data)
    except CampaignError:
        raise
    except Exception as error:
        raise InvalidValue(f"the likelihood of `{model}` and `{name}` failed: {told(error).message}") from error
    hint = "return (chi2, predictions): a number and a dictionary"
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        seen = f"a {type(found).__name__}"
        raise InvalidValue(f"the likelihood of `{model}` and `{name}` returned {seen}, not two values", hint=hint)
    try:
        chi2 = float(found[0])
        labelled: Mapping[Any, Any] = found[1] if isinstance(found[1], Mapping) else dict(enumerate(np.ravel(found[1])))
        return chi2, {label: float(value) for label, value in labelled.items()}
    except (TypeError, ValueError):
        seen = ", ".join(f"a {type(part).__name__}" for part in found)
        raise InvalidValue(f"the likelihood of `{model}` and `{name}` returned ({seen})", hint=hint) from None


def resampler(
    model: str, name: str, data: Mapping[str, Any], cov_scale: float = 1.0
) -> Callable[[Mapping[str, Any], int], Mapping[str, Any]] | None:
    """How the data behind a likelihood are drawn again: (data, b) → data with noise number b.

    The package's own likelihoods add noise of the covariance; a registered one says it by an attribute ``resample``.
    None where it does not, and for published grids, whose likelihood is in no covariance.
    """
    function = find_likelihood(model, name, data.get("dataset_type"))
    own = gaussian_resample if function in BY_KIND.values() and function is not likelihood_bao_grid else None
    resample = getattr(function, "resample", own)
    if resample is None:
        return None

    def scaled(given: Mapping[str, Any], number: int) -> Mapping[str, Any]:
        covariance = np.asarray(given["covariance"], float)
        drawn = resample({**given, "covariance": cov_scale * covariance}, number)
        return {**drawn, "covariance": covariance}

    return scaled


def gaussian_resample(data: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Data with noise number b = 1, 2, … of their covariance: y + L z_b. Of a registered likelihood whose observations
    are Gaussian: ``likelihood_h0.resample = gaussian_resample``."""
    observed = data["observations"]
    values = np.array(list(observed.values()) if isinstance(observed, Mapping) else observed, float)
    name = str(data["metadata"].get("name", data.get("dataset_type")))
    factor = np.linalg.cholesky(np.asarray(data["covariance"], float))
    drawn = values + factor @ whitened_noise(name, len(values), number)
    found = dict(zip(observed, drawn.tolist(), strict=True)) if isinstance(observed, Mapping) else drawn
    return {**data, "observations": found}
