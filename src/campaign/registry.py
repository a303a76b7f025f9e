"""Plug-ins: problems, engines, commands, panels and profiles, found through entry points, loaded when named.

A problem or an engine is described by a plug-in value: a name, a version, a pydantic model of its options, and the
place of the function that builds it. The description imports no JAX; only calling `build` does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from campaign.errors import InvalidValue, UnknownName, UsageError, nearest
from campaign.float64 import use_float64

if TYPE_CHECKING:
    from campaign.space import ThetaSpace

PROBLEMS = "campaign.problems"
ENGINES = "campaign.engines"
COMMANDS = "campaign.commands"
PANELS = "campaign.panels"
PROFILES = "campaign.profiles"


class Varying:
    """Marks an option whose value may differ between the runs of one compiled program.

    Options typed `float` are varying without a mark. Everything else (int, str, bool, list) is structural: each
    distinct value is a program of its own, unless its field is written `Annotated[int, Varying()]`.
    """


class Structural:
    """Marks a `float` option that is compiled in: `Annotated[float, Structural()]`."""


class DataFile:
    """Marks a `str` option that names an input file: `Annotated[str, DataFile()]`.

    The file lies next to the manifest (relative, inside its folder) or is a data set known by name. Its content hash
    enters the run id; `build` receives the absolute path.
    """


class Options(BaseModel):
    """Base of every options model: closed, frozen, strict about types (`"1"` is not a number)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemPlugin:
    """What `campaign` knows of a problem before it imports it.

    Attributes:
        name: as manifests write it.
        version: enters the run id; raise it when the numbers that it gives change.
        options: model of what may stand in the manifest beside `name`.
        build: ``"package.module:function"`` (or a callable), options → Problem.
        description: one line for `campaign problems`.
        space: options → ThetaSpace, without importing JAX. None: build and ask.
        build_many: optional: ``(options, columns) → Problem`` whose arrays have a leading run axis; `columns` maps the
            names of varying options to arrays of one value a run.
        inputs: options → names of data files that `build` reads besides `DataFile` options (for the run id).
        gather: what it reads of the runs of an earlier stage (`"pick": "group"`): columns of the summary
            table (``"theta.*"``, ``"stderr.rate"``, ``"loss"``), arrays (``"covariance"``, ``"parameter"``) and traces
            (``"theta"``, ``"trace.loss"``). Then `space` is needed, and `build` is ``(options, gathered) → Problem``:
            `gathered` maps names to arrays whose first axis is the runs, by run id; ``theta.*`` gives a name a column.
        data: names of the options that choose its data: models compare only where these are alike.
        runs_own_code: it runs code of the user's that the manifest names, so a few runs are tried before the others.
        check: ``(options, space)`` of the space with the parameters that are free: raises a `CampaignError` where they
            make no sense; returns what a person should know before it runs, or None.
    """

    name: str
    version: str
    options: type[BaseModel]
    build: str | Callable[..., Any]
    description: str = ""
    space: Callable[[Any], ThetaSpace] | None = None
    build_many: str | Callable[..., Any] | None = None
    inputs: Callable[[Any], tuple[str, ...]] | None = None
    gather: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    runs_own_code: bool = False
    check: Callable[[Any, ThetaSpace], str | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePlugin:
    """What `campaign` knows of an engine before it imports it.

    Attributes:
        name, version, options, description: as for a problem.
        build: ``"package.module:function"`` (or a callable), options → AbstractEngine.
        max_block: the most runs of one block.
        samples: its trace is a sample of a distribution (diagnostics, not a path).
        records: the fields that its steps can record; empty where they are not known beforehand.
        steps: name of the option that counts steps: what a retry raises and `campaign extend` continues. None: there
            is nothing to raise.
        thin: name of the option that says every how many steps one is recorded; None: there is none. Like `steps` it is
            no part of a run's random key: thinning does not change what is sampled.
        check: ``(options, space)``, raises a `CampaignError` where these options make no sense for this space of theta;
            returns what a person should know before it runs, or None.
        precisions: those that it can compute in.
    """

    name: str
    version: str
    options: type[BaseModel]
    build: str | Callable[..., Any]
    description: str = ""
    max_block: int = 1024
    samples: bool = False
    steps: str | None = None
    thin: str | None = None
    check: Callable[[Any, ThetaSpace], str | None] | None = None
    records: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ("float64", "float32")

    @property
    def unkeyed(self) -> tuple[str, ...]:
        """Options that are no part of a run's random key; none where no option counts steps."""
        return tuple(name for name in (self.steps, self.thin) if name) if self.steps else ()

    def check_precision(self, precision: str) -> None:
        """Raises `InvalidValue` where the engine cannot compute in it."""
        if precision not in self.precisions:
            valid = ", ".join(f'"{name}"' for name in self.precisions)
            raise InvalidValue(f"engine `{self.name}` does not compute in {precision}", hint=f"valid: {valid}")


def load_reference(reference: str | Callable[..., Any]) -> Callable[..., Any]:
    """Import ``"package.module:name"``; a callable is returned as it is."""
    if callable(reference):
        return reference
    module, _, attribute = reference.partition(":")
    use_float64()
    return getattr(importlib.import_module(module), attribute)


@cache
def _entries(group: str) -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def names(group: str) -> tuple[str, ...]:
    """Names registered in an entry-point group, sorted. Imports nothing of them."""
    return tuple(sorted(_entries(group)))


@cache
def load(group: str, name: str) -> Any:
    """The object behind an entry point.

    Raises:
        UnknownName: no such entry, with the nearest name.
        UsageError: the entry exists and its package cannot be imported.
    """
    entry = _entries(group).get(name)
    kind = group.rsplit(".", 1)[-1].rstrip("s")
    if entry is None:
        raise UnknownName(f"unknown {kind} `{name}`", hint=f"{nearest(name, _entries(group))} See `campaign {kind}s`.")
    try:
        return entry.load()
    except Exception as error:
        raise UsageError(
            f"the {kind} `{name}` ({entry.value}) cannot be imported: {type(error).__name__}: {error}",
            hint="reinstall the package that provides it, or remove it",
        ) from error
