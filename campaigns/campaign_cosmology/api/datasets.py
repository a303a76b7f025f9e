"""Data sets as dictionaries: observations by label, covariance in the same order, metadata. No JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from campaign.science import CampaignError, DataFileError, InvalidValue, UnknownName, nearest, told
from campaign_cosmology.data.data_table import Table, check_covariance, content_hash
from campaign_cosmology.data.tables import DEFAULT_VARIANT, NAMES, SHIPPED, full_name, table
from campaign_cosmology.model.own import NUMBERS, own_table
from campaign_cosmology.model.space import PARAMETERS

Dataset = dict[str, Any]
_RATIOS = ("DV_over_rd", "DM_over_rd", "DH_over_rd", "rd_over_DV")
_QUANTITIES = {
    **dict.fromkeys(("bao", "bao_ani", "bao_grid"), _RATIOS),
    **dict.fromkeys(("cmb", "prior"), (*PARAMETERS, *NUMBERS)),
    "sn": ("mag", "mag_anchored"),
}  # kind of data → what a row may measure
_KEYS = ("observations", "covariance", "metadata", "dataset_type")


def labels(source: Table) -> list[str]:
    """A unique name for every row: "R"; "DM_over_rd@0.51"; "mag[14]@0.75"."""
    if source.kind in ("cmb", "prior"):
        return list(source.quantity)
    if source.kind == "sn":
        return [f"mag[{i}]@{z:g}" for i, z in enumerate(source.z)]
    return [f"{q}@{z:g}" for q, z in zip(source.quantity, source.z, strict=True)]


def as_dataset(source: Table) -> Dataset:
    """A table in the form of the API: ``observations`` (label → value, in the order of the covariance), ``covariance``
    (a copy), ``metadata``, ``dataset_type``."""
    has_redshift = source.kind not in ("cmb", "prior")
    return {
        "observations": dict(zip(labels(source), source.value.tolist(), strict=True)),
        "covariance": source.covariance.copy(),
        "metadata": {
            "name": source.name,
            "source": source.citation,
            "title": source.title,
            "note": source.note,
            "sha256": source.sha256,
            "n_data_points": len(source),
            "observables": list(dict.fromkeys(source.quantity)),
            "quantity": list(source.quantity),
            "z": source.z.tolist() if has_redshift else None,
            "z_helio": source.z_helio.tolist() if has_redshift else None,
            "anchor": [None if np.isnan(a) else float(a) for a in source.anchor],
            "redshift_range": [float(source.z.min()), float(source.z.max())] if has_redshift else None,
        },
        "dataset_type": source.kind,
    }


def as_table(data: Mapping[str, Any]) -> Table:
    """The table behind a data set of this package's kinds, also after somebody changed its numbers.

    Raises:
        InvalidValue: keys or metadata are missing, rows out of order, or a bad covariance.
    """
    validate_dataset(data, str(data.get("dataset_type")))
    meta = data["metadata"]
    if "quantity" not in meta or not isinstance(data["observations"], Mapping):
        raise InvalidValue(
            "the data set has no labels or no `quantity` in its metadata", hint="start from load_dataset(…)"
        )
    kind, n = data["dataset_type"], len(data["observations"])
    z = _column(meta, "z", n)
    found = Table(
        name=str(meta.get("name", kind)),
        kind=kind,
        quantity=tuple(meta["quantity"]),
        z=z,
        z_helio=_column(meta, "z_helio", n) if meta.get("z_helio") is not None else z,
        value=np.array(list(data["observations"].values()), float),
        covariance=np.asarray(data["covariance"], float),
        anchor=_column(meta, "anchor", n),
        title=str(meta.get("title", "")),
        citation=str(meta.get("source", "")),
        note=str(meta.get("note", "")),
        sha256="",
    )
    _check_rows(found)
    found = replace(found, sha256=_numbers_hash(found))
    for seen, expected in zip(data["observations"], labels(found), strict=True):
        if seen != expected:
            raise InvalidValue(
                f"the data set has the row `{seen}` where its covariance has `{expected}`",
                hint="keep the order of load_dataset(…): rows, metadata and covariance belong together",
            )
    return found


def _column(meta: Mapping[str, Any], key: str, n: int) -> np.ndarray:
    """A number for each row; NaN where there is none."""
    given = meta.get(key)
    try:
        column = np.array([np.nan if v is None else v for v in ([None] * n if given is None else given)], float)
    except (TypeError, ValueError):
        column = np.empty(())
    if column.shape != (n,):
        raise InvalidValue(
            f"`{key}` in the metadata is {given!r}"[:200], hint=f"a list of {n} numbers, one for each row"
        )
    return column


def _check_rows(found: Table) -> None:
    """Every row is something that a model predicts, at a redshift where it has a value."""
    if len(found.quantity) != len(found):
        raise InvalidValue(
            f"`quantity` has {len(found.quantity)} entries for {len(found)} rows", hint="one for each row"
        )
    if found.kind not in _QUANTITIES:
        hint = f"valid: {', '.join(_QUANTITIES)}; else without `quantity`, with a likelihood in LIKELIHOOD_FUNCTIONS"
        raise InvalidValue(f"data of the type `{found.kind}` have no `quantity` that is known", hint=hint)
    for name in found.quantity:
        if name not in _QUANTITIES[found.kind]:
            hint = nearest(str(name), _QUANTITIES[found.kind])
            raise InvalidValue(f"a row measures `{name}`, which data of the type `{found.kind}` do not", hint=hint)
    if found.kind in ("cmb", "prior"):
        return
    for column, values in (("z", found.z), ("z_helio", found.z_helio)):
        bad = np.flatnonzero(~((values > 0) & np.isfinite(values)))
        if len(bad):
            raise InvalidValue(f"`{column}` of row {bad[0]} is {values[bad[0]]:g}", hint="a redshift above 0")


def _builtin(name: str) -> Callable[[], Dataset]:
    def loader() -> Dataset:
        return as_dataset(table(name))

    return loader


DATASET_LOADERS: dict[str, Callable[[], Dataset]] = {name: _builtin(name) for name in (*DEFAULT_VARIANT, *NAMES)}
"""Data set → function without arguments that loads it. Add your own here."""
BUILTIN_LOADERS = dict(DATASET_LOADERS)


def is_builtin(name: str) -> bool:
    """Whether a data set is the package's own: its loader has not been replaced."""
    return name in BUILTIN_LOADERS and DATASET_LOADERS.get(name) is BUILTIN_LOADERS[name]


def is_own(name: str) -> bool:
    """Whether a data set was registered, or takes the place of one of the package's."""
    return name in DATASET_LOADERS and not is_builtin(name)


def _numbers_hash(found: Table) -> str:
    """Of the numbers themselves, whatever a data set says of them; that of a shipped table where they are its own."""
    document = {
        "quantity": list(found.quantity),
        "value": found.value.tolist(),
        "covariance": found.covariance.tolist(),
    }
    if found.kind not in ("cmb", "prior"):
        document["z"] = found.z.tolist()
    if found.kind == "sn":
        document |= {"z_helio": found.z_helio.tolist()}
    if np.isfinite(found.anchor).any():
        document["anchor"] = [None if np.isnan(a) else a for a in found.anchor.tolist()]
    for name in SHIPPED:
        own = table(name)
        same = (own.quantity, len(own)) == (found.quantity, len(found)) and np.array_equal(
            own.z, found.z, equal_nan=True
        )
        if same and np.array_equal(own.value, found.value) and np.array_equal(own.covariance, found.covariance):
            return own.sha256
    return content_hash(document)


def dataset_hash(data: Mapping[str, Any]) -> str:
    """SHA-256 of the numbers of a data set: two of one hash are the same data under whatever name."""
    if "quantity" in data["metadata"] and isinstance(data["observations"], Mapping):
        return as_table(data).sha256
    observations = data["observations"]
    rows = dict(observations) if isinstance(observations, Mapping) else np.asarray(observations, float).tolist()
    return content_hash({"value": rows, "covariance": np.asarray(data["covariance"], float).tolist()})


def gaussian_dataset(numbers: str | Path, covariance: str | Path, name: str | None = None) -> Dataset:
    """A data set from a file of numbers and a file of their covariance, in the formats of DESI, cobaya and supernovae.

        DATASET_LOADERS["bao_ani:mine"] = lambda: gaussian_dataset("mean.txt", "cov.txt", "mine")

    Raises:
        OSError (DataFileError): missing or malformed, with the line.
    """
    return as_dataset(own_table(numbers, covariance, name=name))


def own_data(numbers: str | Path, covariance: str | Path, name: str | None = None) -> str:
    """Register `gaussian_dataset`, and give the name under which every fit finds it: "bao_ani:mine"."""
    found = own_table(numbers, covariance, name=name)
    if found.name not in BUILTIN_LOADERS:
        DATASET_LOADERS[found.name] = lambda: as_dataset(found)
    return found.name


def load_dataset(name: str) -> Dataset:
    """A data set by name, verified.

    Raises:
        KeyError (UnknownName): no such data set. OSError (DataFileError): damaged or missing files. ValueError
            (InvalidValue): a registered loader returned something that is not a data set.
    """
    if not isinstance(name, str) or name not in DATASET_LOADERS:
        raise UnknownName(f"unknown data set `{name}`", hint=nearest(str(name), DATASET_LOADERS))
    if is_builtin(name):
        return as_dataset(table(name))  # checked when the table was read
    try:
        loaded = DATASET_LOADERS[name]()
    except CampaignError:
        raise
    except Exception as error:
        raise InvalidValue(f"the loader of `{name}` failed: {told(error).message}") from error
    if not isinstance(loaded, Mapping):
        raise InvalidValue(
            f"the loader of `{name}` returned a {type(loaded).__name__}, not a data set",
            hint=f"a dictionary with {', '.join(_KEYS)}: see load_dataset('cmb')",
        )
    data = dict(loaded)
    data.setdefault("dataset_type", name.partition(":")[0])
    validate_dataset(data, data["dataset_type"])
    return data


def validate_dataset(data: Mapping[str, Any], expected_format: str) -> bool:
    """Whether a data set has its keys, its type, matching shapes, and a symmetric positive definite covariance.

    Symmetry rtol 1e-10, atol 1e-12; a condition number of the correlations above 1e12 is refused.

    Raises:
        ValueError (InvalidValue): keys, type, shapes, or the covariance.
    """
    missing = [key for key in _KEYS if key not in data]
    if missing:
        raise InvalidValue(
            f"the data set does not have {', '.join(f'`{k}`' for k in missing)}", hint=f"it needs {_KEYS}"
        )
    if data["dataset_type"] != expected_format:
        raise InvalidValue(f"the data set is of type `{data['dataset_type']}`, expected `{expected_format}`")
    observations = data["observations"]
    if not isinstance(data["metadata"], Mapping):
        raise InvalidValue(f"the metadata are a {type(data['metadata']).__name__}", hint="a dictionary")
    try:
        values = np.array(list(observations.values()) if isinstance(observations, Mapping) else observations, float)
        np.asarray(data["covariance"], float)
    except (TypeError, ValueError) as error:
        raise InvalidValue(f"the data set `{expected_format}` is not made of numbers: {error}") from None
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise InvalidValue(f"the data set `{expected_format}` has no observations, or some that are not finite")
    covariance = np.asarray(data["covariance"], float)
    if not np.isfinite(covariance).all():
        raise InvalidValue(f"covariance of {expected_format} has entries that are not finite")
    try:
        check_covariance(covariance, len(values), source=str(data["metadata"].get("name", expected_format)))
    except DataFileError as error:  # these numbers come from no file
        raise InvalidValue(error.message, hint=error.hint) from None
    return True


def get_dataset_info(name: str) -> dict[str, Any]:
    """Metadata of a data set: full name, source, number of points, observables, redshift range, hash.

    Raises:
        KeyError (UnknownName): no such data set.
    """
    data = load_dataset(name)
    info = dict(data["metadata"])
    info |= {"dataset_type": data["dataset_type"], "n_data_points": len(data["observations"])}
    if name in BUILTIN_LOADERS:
        info["name"] = full_name(name)
    return info
