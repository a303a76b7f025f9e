"""Stage + points → what every group of rows is: plug-ins, options, space, files. All findings at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from pydantic import BaseModel

from campaign.errors import CampaignError, Diagnostic, ManifestError
from campaign.identity import canonical
from campaign.manifest import options as option_models
from campaign.manifest.columns import Columns
from campaign.manifest.diagnose import pointer, shown
from campaign.manifest.model import Manifest, Stage
from campaign.manifest.points import stage_node
from campaign.manifest.stage import DEFAULTS, check_free
from campaign.schedule.axes import Axes, classify
from campaign.schedule.bounds import check_value
from campaign.schedule.combinations import Combinations, combinations
from campaign.schedule.plugins import Module, Named, load_plugins, locate, space_of
from campaign.space import ThetaSpace

MAX_COMBINATIONS = 200_000  # distinct structures of one stage; each is a program to compile
TRIALS = 16  # further runs of a group that are built when its first one cannot be
LoadDefaults = Callable[[str], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resolved:
    """What the rows of one group have in common.

    Attributes:
        problem, engine: name and every option, defaults filled in; varying options hold their base value.
        identity: the problem and engine documents as they enter the run id (varying options: of the first row).
        free: the parameters that move, or None for the problem's own choice.
        start, scale: the entries that the stage's documents give.
        versions: of the plug-ins.
        inputs: the files that the runs read: name → {"path", "sha256"}.
        module: the problem's file, if it is one.
        space: of theta, with `free` applied.
        max_block: the most runs of one block.
    """

    problem: Mapping[str, Any]
    engine: Mapping[str, Any]
    identity: Mapping[str, Mapping[str, Any]]
    free: tuple[str, ...] | None
    start: Mapping[str, float]
    scale: Mapping[str, float]
    versions: Mapping[str, str]
    inputs: Mapping[str, Mapping[str, str]]
    module: Module | None
    space: ThetaSpace
    max_block: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResolvedStage:
    """A stage whose every row is known to be valid."""

    axes: Axes
    groups: Combinations
    resolved: tuple[Resolved, ...]


def resolve(
    manifest: Manifest,
    stage: Stage,
    n: int,
    columns: Columns,
    *,
    problem: Mapping[str, Any],
    inherited: Mapping[str, str] | None = None,
    load_defaults: LoadDefaults | None = None,
) -> ResolvedStage:
    """Resolve all rows of a stage.

    Args:
        manifest, stage: what is planned.
        n, columns: its points.
        problem: the problem document (of the source stage, where the stage has none).
        inherited: axes that come from the stage that this one starts from, with their place.
        load_defaults: model → stored best parameters, for ``start.from: "defaults"``.

    Raises:
        ManifestError: with every finding.
    """
    work = _Work(manifest, stage, columns, problem, dict(inherited or {}), load_defaults, [], {})
    plugins = work.plugins()
    axes = classify(stage, columns, plugins, work.inherited, work.found)
    groups = combinations(n, columns, axes.by_value, axes.varying)
    if len(groups) > MAX_COMBINATIONS:
        message = f"{len(groups):,} different programs; the most is {MAX_COMBINATIONS:,}"
        hint = f"structural axes: {', '.join(axes.by_value)}"
        raise ManifestError([Diagnostic(place=pointer(stage.place, "expand"), message=message, hint=hint)])
    resolved = [work.group(axes, groups, k, plugins) for k in range(len(groups))]
    work.stop_on_findings()
    return ResolvedStage(axes=axes, groups=groups, resolved=tuple(r for r in resolved if r is not None))


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What the steps of `resolve` share."""

    manifest: Manifest
    stage: Stage
    columns: Columns
    problem: Mapping[str, Any]
    inherited: dict[str, str]
    load_defaults: LoadDefaults | None
    found: list[Diagnostic]
    spaces: dict[bytes, ThetaSpace | None]

    def stop_on_findings(self) -> None:
        if self.found:
            unique = {(d.place, d.message): d for d in self.found}
            raise ManifestError(unique.values(), source=self.manifest.source)

    def report(self, place: str, error: CampaignError) -> None:
        self.found.append(Diagnostic(place=place, message=error.message, hint=error.hint))

    def place(self, path: str) -> str:
        """Where an axis or a base value stands in the manifest."""
        derived = {p: where for p, _, where in self.stage.derive}
        places = {**self.inherited, **stage_node(self.stage).axes, **derived}
        return places.get(path) or pointer(self.stage.place, *path.split("."))

    def plugins(self) -> dict[str, dict[str, Named]]:
        """Problem and engine plug-ins by name."""
        loaded = {}
        for kind, base in (("problem", self.problem), ("engine", self.stage.engine)):
            named = []
            column = self.columns.get(f"{kind}.name")
            if column is None or not column.where_present().all():
                named.append((base.get("name"), pointer(self.stage.place, kind, "name")))
            if column is not None:
                values = column.values if column.is_coded else column.data[:1].tolist()
                named.extend((value, self.place(f"{kind}.name")) for value in values)
            for name, at in named:
                if not isinstance(name, str):
                    self.found.append(Diagnostic(place=at, message=f"{shown(name)} names no {kind}"))
            names = {name: at for name, at in named if isinstance(name, str)}
            loaded[kind] = load_plugins(kind, names, self.manifest.folder, self.found)
        return loaded

    def document(self, kind: str, base: Mapping[str, Any], axes: Axes, row: int, varying: Mapping) -> dict[str, Any]:
        """The problem or engine document of a row; `varying` gives the values of varying options."""
        document = deepcopy(dict(base))
        for path in axes.options(kind):
            column = self.columns[path]
            if not column.is_present(row):
                continue
            value = varying[path] if path in varying else column.value(row)
            *parents, last = path.split(".")[1:]
            inner = document
            for key in parents:
                inner = inner.setdefault(key, {})
            inner[last] = value
        return document

    def validated(self, kind: str, named: Named | None, document: Mapping[str, Any]) -> BaseModel | None:
        """Validated options. After findings: without the keys at fault if that is valid, so that checking goes on."""
        if named is None:
            return None
        found: list[Diagnostic] = []
        extra = ("name", "free") if kind == "problem" else ("name",)
        own = {key: value for key, value in document.items() if key not in extra}
        options = option_models.validate(named.plugin.options, own, "", found, extra)
        if found:
            wrong = {diagnostic.place.split("/")[1] for diagnostic in found if diagnostic.place}
            rest = {key: value for key, value in own.items() if key not in wrong}
            options = option_models.validate(named.plugin.options, rest, "", [], extra)
        for diagnostic in found:
            path = kind + diagnostic.place.replace("/", ".")
            while path not in self.columns and "." in path.partition(".")[2]:
                path = path.rpartition(".")[0]
            at = self.place(path) if path in self.columns else pointer(self.stage.place, kind) + diagnostic.place
            self.found.append(Diagnostic(place=at, message=diagnostic.message, hint=diagnostic.hint))
        return options

    def extremes(self, axes: Axes, rows: np.ndarray, row: int) -> list[dict[str, float]]:
        """Smallest and largest values of the varying options of a group, where they differ."""
        paths = [p for p in axes.varying if p.startswith(("problem.", "engine."))]
        paths = [p for p in paths if self.columns[p].is_present(row)]
        lows = {p: self.columns[p].data[rows].min().item() for p in paths}
        highs = {p: self.columns[p].data[rows].max().item() for p in paths}
        return [lows, highs] if lows != highs else []

    def group(self, axes: Axes, groups: Combinations, k: int, plugins: Mapping) -> Resolved | None:
        """Group k, or None after findings."""
        rows, row, before = groups.rows(k), int(groups.first[k]), len(self.found)
        problem = self.document("problem", self.problem, axes, row, {})
        engine = self.document("engine", self.stage.engine, axes, row, {})
        named, named_engine = _named(plugins["problem"], problem), _named(plugins["engine"], engine)
        options = self.validated("problem", named, problem)
        engine_options = self.validated("engine", named_engine, engine)
        for values in self.extremes(axes, rows, row):
            self.validated("problem", named, self.document("problem", self.problem, axes, row, values))
            self.validated("engine", named_engine, self.document("engine", self.stage.engine, axes, row, values))
        if options is None or named is None:
            return None
        inputs = self.inputs(named, options)
        if inputs is None:
            return None
        free = problem.get("free")
        if wrong := check_free(free, self.place("problem.free")):
            self.found.extend(wrong)
            return None
        space = self.space(named, options, self.others(named, axes, rows), inputs, free)
        if space is None:
            return None
        start = self.start(space, problem, options, axes)
        self.check_start(space, start, axes, rows, row)
        if len(self.found) > before or named_engine is None or engine_options is None:
            return None
        full = {"name": problem["name"], **option_models.resolved(options)}
        full_engine = {"name": engine["name"], **option_models.resolved(engine_options)}
        return Resolved(
            problem=_at_base(full, "problem", self.problem, named, axes),
            engine=_at_base(full_engine, "engine", self.stage.engine, named_engine, axes),
            identity={"problem": full | ({"free": sorted(free)} if free else {}), "engine": full_engine},
            free=tuple(free) if free else None,
            start=start,
            scale=self.stage.scale,
            versions={"problem": named.plugin.version, "engine": named_engine.plugin.version},
            inputs=inputs,
            module=named.module,
            space=space,
            max_block=named_engine.plugin.max_block,
        )

    def check_start(self, space: ThetaSpace, start: Mapping, axes: Axes, rows: np.ndarray, row: int) -> None:
        """Start and scale values of a group, of its documents and of its axes."""
        for kind, values in (("start", start), ("scale", self.stage.scale)):
            for name, value in values.items():
                self.found.extend(check_value(space, kind, name, value, value, self.place))
        for path in axes.varying:
            kind, _, name = path.partition(".")
            column = self.columns[path]
            if kind not in ("start", "scale") or not column.is_present(row):
                continue
            if path in self.inherited and name not in space.names:
                continue  # a parameter that only the earlier stage's problem has
            values = column.data[rows]
            low, high = values.min().item(), values.max().item()
            self.found.extend(check_value(space, kind, name, low, high, self.place))

    def inputs(self, named: Named, options: BaseModel) -> dict[str, dict[str, str]] | None:
        try:
            names = set(option_models.data_files(options))
            if named.plugin.inputs is not None:
                names.update(named.plugin.inputs(options))
            return locate(sorted(names), self.manifest.folder)
        except CampaignError as error:
            self.report(self.place_of_file(options, error), error)
            return None

    def place_of_file(self, options: BaseModel, error: CampaignError) -> str:
        """The option that names the file of an error, else the problem."""
        for name, value in option_models.resolved(options).items():
            if isinstance(value, str) and value and f"`{value}`" in error.message:
                return self.place(f"problem.{name}")
        return pointer(self.stage.place, "problem")

    def others(self, named: Named, axes: Axes, rows: np.ndarray) -> Iterator[BaseModel]:
        """Options of further runs of a group, for when the first one cannot be built."""
        varying = [p for p in axes.varying if p.startswith("problem.")]
        for row in rows[np.linspace(0, len(rows) - 1, TRIALS, dtype=int)] if varying else ():
            document = self.document("problem", self.problem, axes, int(row), {})
            own = {key: value for key, value in document.items() if key not in ("name", "free")}
            options = option_models.validate(named.plugin.options, own, "", [], ("name", "free"))
            if options is not None:
                yield options

    def space(
        self, named: Named, options: BaseModel, others: Iterable[BaseModel], inputs: Mapping, free: Any
    ) -> ThetaSpace | None:
        """The space of a group's problem with `free` applied; asked once for equal structures."""
        varying = option_models.varying_options(named.plugin.options)
        fixed = {k: v for k, v in option_models.resolved(options).items() if k not in varying}
        key = canonical([named.plugin.name, fixed, free])
        if key not in self.spaces:
            self.spaces[key] = None
            files = {name: entry["path"] for name, entry in inputs.items()}
            try:
                trials = (option_models.with_files(one, files) for one in chain([options], others))
                space = space_of(named.plugin, trials)  # pyright: ignore[reportArgumentType]
            except CampaignError as error:
                self.report(pointer(self.stage.place, "problem"), error)
                return None
            try:
                self.spaces[key] = space.with_free(free)
            except CampaignError as error:
                self.report(self.place("problem.free"), error)
        return self.spaces[key]

    def start(self, space: ThetaSpace, problem: Mapping, options: BaseModel, axes: Axes) -> dict[str, float]:
        """The start entries that the stage gives, over those of the stored defaults where it starts from them."""
        stored: Mapping[str, float] = {}
        if self.stage.start.source == DEFAULTS and self.load_defaults is not None:
            model = getattr(options, "model", None)
            try:
                stored = self.load_defaults(model if isinstance(model, str) else problem["name"])
            except CampaignError as error:
                self.report(pointer(self.stage.place, "start", "from"), error)
        known = {name: value for name, value in stored.items() if name in space.names}
        return {**known, **self.stage.start.values}


def _named(plugins: Mapping[str, Named], document: Mapping[str, Any]) -> Named | None:
    name = document.get("name")
    return plugins.get(name) if isinstance(name, str) else None


def _at_base(full: Mapping[str, Any], kind: str, base: Mapping[str, Any], named: Named, axes: Axes) -> dict[str, Any]:
    """The document with varying axes at their base value: of the stage's document, else the option's default."""
    document = dict(full)
    for path in axes.options(kind):
        name = path.partition(".")[2]
        if path in axes.varying or path in axes.varying_coded:
            field = named.plugin.options.model_fields.get(name)
            if name in base:
                document[name] = base[name]
            elif field is not None and not field.is_required():
                document[name] = field.get_default(call_default_factory=True)
    return document
