"""What a manifest says, as frozen values: the JSON edge (pydantic) and what it is parsed into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from campaign.errors import UnknownName, nearest
from campaign.expression import Expression
from campaign.manifest.nodes import Leaf, Node
from campaign.manifest.retry import RetryRule
from campaign.store.kept import Kept
from campaign.store.trace_policy import TracePolicy

SCHEMA = "campaign/1"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"  # of campaigns, stages and profiles: they become names of folders
UNLIMITED = "unlimited"  # `max_failures`: go on whatever fails
MAX_SEED = 2**53 - 1  # JSON numbers are exact up to here


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Execution(_Closed):
    """Where and how runs execute. Never part of a run id."""

    executor: str = Field("auto", description="auto, inline, dask, dask-slurm, mpi, slurm-array, or a plug-in's")
    workers: int | None = Field(None, ge=1, description="worker processes; default: chosen by the executor")
    threads: int | None = Field(None, ge=1, description="threads a worker")
    ranks_per_block: int = Field(
        1, ge=1, description="processes that share the row blocks of a fit; each uses the worker's number of threads"
    )
    address: str | None = Field(None, description="address or file of a running Dask scheduler")
    profile: str | None = Field(None, description="cluster profile (TOML), by name or path")
    layout: Literal["auto", "directories", "packed"] = Field(
        "auto", description="one folder per run, or one file per block; auto: folders up to 10,000 runs"
    )
    checkpoint_s: float | None = Field(None, gt=0, description="seconds between checkpoints of a block")
    max_failures: Annotated[float, Field(ge=0)] | Literal["unlimited"] | None = Field(
        None,
        description="stop when more runs have failed: a number, a fraction below 1, or `unlimited`; default: a "
        "problem in a file stops when more than half of at least 200 runs have failed",
    )
    preflight: bool | None = Field(
        None,
        description="try the first run of a stage alone before the others go out; when left out, where a problem in a "
        "file has 100 runs or more",
    )
    walltime_s: float | None = Field(None, gt=0, description="seconds that a worker's job may last")
    options: dict[str, Any] = Field(default_factory=dict, description="further options of the executor")


class StageDocument(_Closed):
    """One stage, as it is written."""

    name: str = Field(pattern=NAME, description="name of the stage")
    problem: dict[str, Any] | None = Field(None, description="`name`, `free`, and the problem's options")
    engine: dict[str, Any] | None = Field(None, description="`name` and the engine's options")
    start: dict[str, Any] = Field(
        default_factory=dict, description="parameter → start value; `from`, `pick`, `by` start from an earlier stage"
    )
    scale: dict[str, Any] = Field(default_factory=dict, description="parameter → typical size of a change in it")
    expand: Any = Field(None, description="tree of operators, one per node")
    include: list[Any] | None = Field(None, description="further points; they change none of the others")
    derive: dict[str, str] | None = Field(None, description="axis → expression over other axes")
    exclude: list[Any] | None = Field(None, description="points to leave out: {axis: value} or an expression")
    replicates: int = Field(1, ge=1, le=10_000_000, description="runs per point, with independent random keys")
    trace: Any = Field(True, description='true, false, or {"fields": [names], "every": n, "runs": "all"}')
    block: int | None = Field(None, ge=1, le=1_000_000, description="runs per block; default: chosen by a rule")
    layout: Literal["auto", "directories", "packed"] | None = Field(None, description="overrides `execution.layout`")
    publish: Literal["defaults"] | None = Field(None, description="store the best parameters as the model's defaults")
    timeout_s: float | None = Field(
        None,
        gt=0,
        description="seconds that a run may take (a block: the sum over its runs); default: no limit",
    )
    precision: Literal["float64", "float32"] = Field(
        "float64", description="precision of all computed numbers; float32 has 7 digits and is faster on most GPUs"
    )
    keep_state: bool | None = Field(
        None,
        description="keep the state at the end of runs, so that they can be extended; default: for samplers, and where "
        "`retry` has `nonconverged`",
    )
    retry: Any = Field(
        0,
        description="how often a failed run is retried automatically: a number, or an object: kind of failure → number",
    )


class ManifestDocument(_Closed):
    """A manifest, as it is written. With one stage, the stage's keys may stand at the top instead of `stages`."""

    schema_: Literal["campaign/1"] = Field(alias="schema", description="version of this format")
    name: str = Field(pattern=NAME, description="name of the campaign")
    seed: int = Field(0, ge=0, le=MAX_SEED, description="root seed of all random numbers")
    description: str = Field("", description="for people")
    stages: list[Any] = Field(description="the stages, in order", min_length=1, max_length=1000)
    execution: dict[str, Any] = Field(default_factory=dict, description="where and how runs execute")
    profiles: dict[str, Any] = Field(default_factory=dict, description="name → changes to `execution`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where runs start.

    Attributes:
        values: parameter → value.
        source: None, "defaults", or the name of an earlier stage.
        pick: "best", "all", "run", "nearest" or "group".
        run: beginning of the id of the one run of pick "run".
        n: how many of the best runs a group gives; None: one, without a rank.
        by: axes of the source whose combinations are groups; for "nearest": that are compared.
        scales: for "nearest": what a difference along each axis of `by` is divided by.
    """

    values: Mapping[str, float]
    source: str | None = None
    pick: str = "best"
    run: str | None = None
    n: int | None = None
    by: tuple[str, ...] = ()
    scales: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What `exclude` leaves out: points that equal `match`, or where `condition` is true."""

    place: str
    match: Mapping[str, Any] | None = None
    condition: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stage:
    """A stage, parsed.

    Attributes:
        place: JSON pointer of the stage; "" in the one-stage form.
        node: the points of `expand`.
        include: further points, or None.
        derive: (axis, expression, place), in the order written.
        warnings: what `plan` should say about it.
        is_broken: something in it is wrong; only seen while findings are collected.
    """

    name: str
    place: str
    problem: Mapping[str, Any] | None
    engine: Mapping[str, Any]
    start: Start
    scale: Mapping[str, float]
    node: Node
    include: Leaf | None = None
    derive: tuple[tuple[str, Expression, str], ...] = ()
    exclude: tuple[Rule, ...] = ()
    replicates: int = 1
    trace: TracePolicy = field(default_factory=TracePolicy)
    block: int | None = None
    layout: str | None = None
    publish: str | None = None
    timeout_s: float | None = None
    precision: str = "float64"
    keep_state: bool | None = None
    retry: Mapping[str, RetryRule] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    is_broken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Manifest:
    """A manifest, parsed.

    Attributes:
        folder: in which relative file names are looked up.
        sha256: of its canonical JSON.
        document: the JSON itself.
        source: name for messages.
        kept: the files that its stages are planned from; None where nobody has asked the plug-ins yet.
    """

    name: str
    seed: int
    description: str
    stages: tuple[Stage, ...]
    execution: Execution
    profiles: Mapping[str, Mapping[str, Any]]
    folder: Path
    sha256: str
    document: Mapping[str, Any] = field(repr=False)
    source: str = "manifest"
    kept: Kept | None = None

    def stage(self, name: str) -> Stage:
        """A stage by name.

        Raises:
            UnknownName: with the nearest name.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise UnknownName(f"unknown stage `{name}`", hint=nearest(name, [s.name for s in self.stages]))

    def execution_for(self, profile: str | None = None) -> Execution:
        """The execution, as a profile changes it.

        Raises:
            UnknownName: no such profile.
        """
        if profile is None:
            return self.execution
        if profile not in self.profiles:
            raise UnknownName(f"unknown profile `{profile}`", hint=nearest(profile, self.profiles))
        return Execution(**{**self.execution.model_dump(exclude_unset=True), **self.profiles[profile]})
