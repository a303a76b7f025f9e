"""The plug-ins that a stage names, and the space of theta of a problem with given options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from campaign import data, registry
from campaign.errors import CampaignError, DataFileError, Diagnostic, InvalidValue
from campaign.problem.file import is_file_problem, load_file_problem, split_name
from campaign.registry import EnginePlugin, ProblemPlugin
from campaign.space import ThetaSpace
from campaign.time_limit import OutOfTime, time_limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A problem file beside the manifest.

    Attributes:
        name: as the manifest writes it, without the attribute: ``models/decay.py``.
        attribute: the problem in it.
        sha256: of its content.
        content: the bytes, for the snapshot.
    """

    name: str
    attribute: str
    sha256: str
    content: bytes

    @property
    def snapshot(self) -> str:
        """Where the snapshot lies, relative to the campaign directory."""
        return f"inputs/{self.sha256[:16]}/{Path(self.name).name}"


@dataclass(frozen=True, slots=True)
class Named:
    """A plug-in, and the file that it came from, if it did."""

    plugin: ProblemPlugin | EnginePlugin
    module: Module | None = None


def load_plugins(kind: str, names: Mapping[str, str], folder: Path, found: list[Diagnostic]) -> dict[str, Named]:
    """Plug-ins by name.

    Args:
        kind: "problem" or "engine".
        names: name → place in the manifest.
        folder: of the manifest, for problems in files.
        found: what is wrong goes here.
    """
    group = registry.PROBLEMS if kind == "problem" else registry.ENGINES
    loaded: dict[str, Named] = {}
    for name, place in names.items():
        try:
            if kind == "problem" and is_file_problem(name):
                loaded[name] = _from_file(name, folder)
            else:
                loaded[name] = Named(registry.load(group, name))
        except CampaignError as error:
            found.append(Diagnostic(place=place, message=error.message, hint=error.hint))
    return loaded


def _from_file(name: str, folder: Path) -> Named:
    file, attribute = split_name(name)
    path = data.inside(folder, file)
    if path is None:
        raise DataFileError(f"the problem file `{file}` is not in {folder}", hint="put it beside the manifest")
    plugin = load_file_problem(path, attribute)
    module = Module(name=file, attribute=attribute, sha256=data.sha256(path), content=path.read_bytes())
    return Named(plugin, module)


IMPORTS_S = 10.0  # for what a problem imports, which runs after the first need not wait for


def space_of(plugin: ProblemPlugin, trials: Iterable[BaseModel], timeout_s: float | None = None) -> ThetaSpace:
    """The space of theta. Builds the problem (and imports JAX) only where the plug-in cannot say it otherwise.

    Args:
        trials: options of several runs; those of the first that can be built tell. A run that cannot be built fails
            when its turn comes.
        timeout_s: how long a run may take: building one may take as long. None: no limit.

    Raises:
        CampaignError: none can be built: what the first raised; what is not the problem's own becomes `InvalidValue`.
    """
    if plugin.gather and plugin.space is None:
        text = f"the problem `{plugin.name}` reads other runs, so nobody can build it before they are there"
        raise InvalidValue(text, hint="give its plug-in `space`")
    reason: CampaignError | None = None
    for options in trials:
        try:
            return plugin.space(options) if plugin.space else _built_space(plugin, options, timeout_s)
        except CampaignError as error:
            reason = reason or error
        except (Exception, SystemExit) as error:
            text = f"the problem `{plugin.name}` cannot be built: {type(error).__name__}: {error}"
            reason = reason or InvalidValue(text)
    raise reason or InvalidValue(f"the problem `{plugin.name}` has no valid options")


def _built_space(plugin: ProblemPlugin, options: BaseModel, timeout_s: float | None) -> ThetaSpace:
    """The space of a problem that is built to know it; then it is also known whether its model can be compiled."""
    from campaign.problem.traceable import require_traceable

    problem = None
    try:
        with time_limit(timeout_s and timeout_s + IMPORTS_S):
            problem = registry.load_reference(plugin.build)(options)
            require_traceable(problem, plugin.name)
    except OutOfTime:
        if problem is None:
            text = f"the problem `{plugin.name}` is not built within `timeout_s` {timeout_s:g} s"
            raise InvalidValue(text, hint="raise `timeout_s`, or see where `build` waits") from None
    return problem.space


def locate(names: Iterable[str], folder: Path) -> dict[str, dict[str, str]]:
    """Input files: name → {"path", "sha256"}.

    Raises:
        DataFileError: one of them is nowhere.
    """
    located = {}
    for name in names:
        path = data.find(name, folder)
        located[name] = {"path": str(path), "sha256": data.sha256(path)}
    return located
