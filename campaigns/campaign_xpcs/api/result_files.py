"""Results as files, by homodyne's names. Each is published by rename: readers see the whole of it or nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from campaign.science import DataFileError, UsageError
from campaign_xpcs.api.cmc_result import CMCResult
from campaign_xpcs.api.fitted import Fitted
from campaign_xpcs.api.result import OptimizationResult, plain

SCHEMA = "campaign-xpcs-result/1"
NLSQ = "analysis_results_nlsq.json"


def write_nlsq(folder: Path, result: OptimizationResult, fitted: Fitted) -> list[Path]:
    """``parameters.json``, ``analysis_results_nlsq.json``, ``convergence_metrics.json``, ``fitted_data.npz``.

    Returns:
        The files.

    Raises:
        UsageError: the folder cannot be written.
    """
    whole = {"schema": SCHEMA, **result.as_json()}
    device = plain(result.device_info)
    documents = {
        "parameters.json": {
            "schema": SCHEMA,
            "parameters": {
                name: {"value": whole["parameters"][name], "uncertainty": whole["uncertainties"].get(name)}
                for name in result.names
            },
            "sigma_is_default": result.sigma_is_default,
            "data": whole["data"],
        },
        NLSQ: whole,
        "convergence_metrics.json": {
            "schema": SCHEMA,
            **{k: whole[k] for k in ("success", "convergence_status", "quality_flag", "message", "iterations")},
            **{k: whole[k] for k in ("chi_squared", "reduced_chi_squared", "degrees_of_freedom", "n_data")},
            "metric": device.get("metric", {}),
            "attempts": device.get("attempts", []),
            "recovery_actions": device["recovery_actions"],
            "quality_reasons": device["quality_reasons"],
        },
    }
    written = [_write_json(folder / name, document) for name, document in documents.items()]
    with published(folder / "fitted_data.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **fitted.arrays())  # pyright: ignore[reportArgumentType]
    return [*written, folder / "fitted_data.npz"]


def write_cmc(folder: Path, result: CMCResult) -> list[Path]:
    """``parameters.json``, ``shard_diagnostics.json``, and the draws as ``posterior.nc`` (NetCDF, chain × draw)."""
    whole = {"schema": SCHEMA, **result.as_json()}
    shards = {"schema": SCHEMA, **{k: whole[k] for k in ("shards", "spread", "spread_dof", "agreement")}}
    written = [
        _write_json(folder / "parameters.json", whole),
        _write_json(folder / "shard_diagnostics.json", shards),
    ]
    import xarray

    about = {"schema": SCHEMA, "data": json.dumps(whole["data"]), "device_info": json.dumps(whole["device_info"])}
    dataset = xarray.Dataset(
        {name: (("chain", "draw"), result.draws[None, :, i]) for i, name in enumerate(result.names)},
        coords={"chain": [0], "draw": np.arange(len(result.draws))},
        attrs=about,
    )
    with published(folder / "posterior.nc") as temporary:
        dataset.to_netcdf(temporary, engine="scipy")
    return [*written, folder / "posterior.nc"]


def read_nlsq(path: Path) -> OptimizationResult:
    """A result from ``analysis_results_nlsq.json``, or from the folder that it is in.

    Raises:
        DataFileError: no such file, or not one of these.
    """
    path = path / NLSQ if path.is_dir() else path
    try:
        document = json.loads(path.read_text("utf-8"))
        if document["schema"] != SCHEMA:
            raise DataFileError(f"`{path}` has the schema {document['schema']!r}", hint=f"valid: {SCHEMA}")
        names = tuple(document["parameters"])
        errors = {k: np.nan if v is None else v for k, v in document["uncertainties"].items()}
        keys = ("success", "message", "iterations", "execution_time", "convergence_status", "quality_flag")
        return OptimizationResult(
            parameters=_numbers(document["parameters"].values()),
            uncertainties=np.array([errors.get(name, 0.0) for name in names]),
            covariance=np.array([_numbers(row) for row in document["covariance"]["values"]]),
            chi_squared=_number(document["chi_squared"]),
            reduced_chi_squared=_number(document["reduced_chi_squared"]),
            device_info=document["device_info"],
            names=names,
            free=tuple(errors),
            n_data=document["n_data"],
            sigma_is_default=document["sigma_is_default"],
            maps_info=document["data"],
            **{key: document[key] for key in keys},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, DataFileError):
            raise
        hint = f"`campaign xpcs fit` writes {NLSQ}"
        raise DataFileError(f"`{path}` is no result of a least-squares fit: {error}", hint=hint) from error


def write_maps(path: Path, maps: list[Any]) -> Path:
    """Maps of one q as an archive, or of several q as HDF5, published by rename."""
    from campaign_xpcs.data.writing import write_hdf5, write_npz

    with published(path) as temporary:
        if path.suffix == ".npz":
            write_npz(temporary, maps[0])
        else:
            write_hdf5(temporary, maps)
    return path


@contextmanager
def published(path: Path) -> Iterator[Path]:
    """A temporary path beside it that takes its place at the end, synced; nothing is left where that fails.

    Raises:
        UsageError: it cannot be written.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}", hint="is the folder there, and writable?"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write_json(path: Path, document: Mapping[str, Any]) -> Path:
    with published(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    return path


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _numbers(values: Any) -> np.ndarray:
    return np.array([_number(v) for v in values])
