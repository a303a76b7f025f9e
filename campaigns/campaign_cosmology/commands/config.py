"""The configuration file of the fitters: JSON, closed, every finding with its place. No JAX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from campaign.science import Blind, Diagnostic, ManifestError, UsageError, nearest


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OptimizationConfig(_Closed):
    """The section ``optimization``."""

    optimize_parameters: list[str] | None = Field(default=None, description="parameters that move")
    frozen_parameters: list[str] = Field(default=[], description="parameters that stay, whatever else is said")
    use_precomputed: bool = Field(default=True, description="start from stored optimised values")
    save_results: bool | None = Field(default=None, description="store the optimum; unset: when CMB data take part")
    convergence_tolerance: float = Field(
        default=1e-6, gt=0, description="largest gradient of chi2 per typical change at the end"
    )
    covariance_scaling: float = Field(default=1.0, gt=0, description="factor on every covariance")
    warm_start: bool = Field(
        default=False, description="start from the last successful optimum, if younger than 24 hours"
    )
    dry_run: bool = Field(default=False, description="store nothing")


class OptimizerConfig(_Closed):
    """The section ``optimizer``: as `run_fit` takes it."""

    method: str | None = None
    objective: str | None = None
    options: dict[str, Any] | None = None
    bounds: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] | None = None
    n_starts: int = Field(default=1, ge=1)
    seed: int = 0


class FitConfig(_Closed):
    """The whole file. `blind` is what `campaign blind` prints; `priors` are written as in a manifest."""

    model: str | None = None
    datasets: list[str] | None = None
    optimization: OptimizationConfig = OptimizationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    blind: Blind | None = None
    priors: dict[str, Any] = {}
    parameter_overrides: dict[str, Any] = {}  # checked with the model at hand: `build_params`


def _fields(place: tuple) -> list[str]:
    model: Any = FitConfig
    for part in place:
        field = model.model_fields.get(part) if isinstance(model, type) else None
        model = field.annotation if field is not None else None
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def parse_config(document: Any, *, source: str = "config") -> FitConfig:
    """A configuration from its JSON.

    Raises:
        ManifestError: every unknown key (with the nearest valid one) and every wrong value, with its place.
    """
    try:
        return FitConfig.model_validate(document)
    except ValidationError as error:
        found = []
        for item in error.errors():
            place = "/" + "/".join(str(part) for part in item["loc"])
            if item["type"] == "extra_forbidden":
                key = str(item["loc"][-1])
                found.append(
                    Diagnostic(
                        place=place, message=f"unknown key `{key}`", hint=nearest(key, _fields(item["loc"][:-1]))
                    )
                )
            else:
                needed = "an object is needed" if item["type"] == "model_type" else item["msg"]
                found.append(Diagnostic(place=place, message=f"{needed}, not {item['input']!r}"))
        raise ManifestError(found, source=source) from None


def _unique(pairs: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise UsageError(f"{path}: the key `{key}` appears twice in one object", hint="keep one of them")
        found[key] = value
    return found


def load_config(path: Path) -> FitConfig:
    """A configuration file.

    Raises:
        UsageError: no such file, no JSON (with line and column), or a key that appears twice.
        ManifestError: what `parse_config` finds.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the configuration {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the configuration {path} is not UTF-8 text", hint="the file must be JSON") from error
    try:
        document = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, path))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}:{error.colno}: {error.msg}", hint="the file must be JSON") from error
    return parse_config(document, source=str(path))
