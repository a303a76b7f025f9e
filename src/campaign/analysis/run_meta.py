"""meta.json of a run in a folder of its own: what is needed to understand it and to repeat it, without the campaign.

The schema grows by adding: a reader passes over keys that it does not know, and whoever writes a document again keeps
them. `meta_schema` is the JSON Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from campaign.errors import Damage
from campaign.store.records import publish_json, read_json
from campaign.store.run_files import finite, missing

SCHEMA = "campaign-run/0"
EARLIER = "campaign.meta/1"  # of the layout "directories": the same document without what is added here
_Numbers = dict[str, Any]


class _Open(BaseModel):
    """Further keys are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Git(_Open):
    commit: str
    dirty: bool | None = None


class File(_Open):
    """One file of the folder."""

    filename: str
    kind: str
    bytes: int | None = None
    sha256: str | None = None
    description: str = ""


class Entry(_Open):
    """One entry of theta: positions start up to stop."""

    name: str
    start: int
    stop: int
    shape: list[int] = Field(default_factory=list)
    block: str = "theta"
    unit: str = ""
    label: str | None = None


class Layout(_Open):
    """Which number stands where in theta."""

    layout_hash: str
    entries: list[Entry]


class Theta(_Open):
    """What the columns of `theta` in trace.npz are. It is always physical; `theta_space` says where steps were made."""

    dim: int
    dtype: str = "float64"
    theta_space: str = "primitive"
    theta_map_id: str | None = None
    theta_map_hash: str | None = Field(None, description="SHA-256 over theta_ref and the matrix of the map, as doubles")
    whiten: bool | None = None
    truncate_k: int | None = None
    param_spec_hash: str | None = None
    index_map: Layout | None = None
    primitive_index_map: Layout | None = None


class Objective(_Open):
    """What was minimised."""

    name: str
    noise_model: str | None = Field(None, description="gaussian, poisson …; null: the problem does not say")
    reduce: str | None = Field(None, description="sum or mean over the data")
    prior: dict[str, dict[str, Any]] | None = Field(None, description="by free parameter, as in a manifest")
    n_data: int | None = None
    data: list[dict[str, Any]] = Field(default_factory=list, description="input files: name, path and SHA-256")


class Preconditioning(_Open):
    """How a diagonal preconditioner came about."""

    enabled: bool
    n_floored: int | None = None
    n_clipped: int | None = None
    n_negative: int | None = None
    n_probes: int | None = None
    exact: bool | None = None


class Optimizer(_Open):
    """The engine, with all of its options."""

    name: str
    engine_version: str | None = None
    base_lr: float | None = None
    base_lr_source: str | None = Field(None, description="given, or auto")
    num_steps: int | None = None
    options: _Numbers = Field(default_factory=dict)
    preconditioning: Preconditioning | None = None


class Meta(_Open):
    """meta.json."""

    schema_: Literal["campaign-run/0", "campaign.meta/1"] = Field(alias="schema")
    run_id: str
    created_at: str | None = Field(None, description="ISO-8601 with offset")
    git: Git | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    manifest: dict[str, File] = Field(default_factory=dict, description="the files of the folder, by kind")
    theta: Theta | None = None
    units: dict[str, str] = Field(default_factory=dict, description="units by dotted name: theta.x, derived.y")
    objective: Objective | None = None
    optimizer: Optimizer | None = None
    seeds: dict[str, int | None] = Field(default_factory=dict)
    nonfinite: list[str] = Field(default_factory=list, description="dotted names of numbers that are null here")
    problem: dict[str, Any] | None = Field(None, description="name and options, as in a manifest")
    engine: dict[str, Any] | None = Field(None, description="name and options, as in a manifest")
    start: dict[str, float] | None = Field(None, description="all parameters where the run began")
    scale: dict[str, float] | None = None
    free: list[str] | None = Field(None, description="the parameters that move; null: the problem's choice")
    seed: int | None = None
    precision: str | None = None


def meta_schema() -> dict[str, Any]:
    """The JSON Schema of meta.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Meta.model_json_schema(by_alias=True)}


def load_meta(path: Path) -> dict[str, Any]:
    """A meta.json as it is written, unknown keys too.

    Raises:
        UnknownName: there is no such file.
        Damage: it is not JSON, has another checksum, or lacks what it must have.
    """
    try:
        document = read_json(path)
    except FileNotFoundError:
        raise missing(path) from None
    try:
        Meta.model_validate(document)
    except ValidationError as error:
        wrong = "; ".join(f"/{'/'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
        raise Damage(f"{path} is not a meta.json of `{SCHEMA}`: {wrong}", hint="export the run again") from error
    return document


def write_meta(path: Path, document: Mapping[str, Any]) -> None:
    """Publish a meta.json with its checksum; numbers that are not finite become null and are named."""
    publish_json(path, finite(document))
