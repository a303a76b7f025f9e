"""The plug-ins that a stage names, and the space of theta of a problem with given options."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel

from campaign import data, registry
from campaign.errors import CampaignError, DataFileError, Diagnostic, InvalidValue
from campaign.own_code import stack_of
from campaign.problem.file import file_plugin, is_file_problem, own_code, split_name
from campaign.problem.own_code import OwnCode
from campaign.problem.reads import Reads, noted, sorted_out
from campaign.registry import EnginePlugin, ProblemPlugin
from campaign.space import ThetaSpace
from campaign.time_limit import OutOfTime, time_limit
from campaign.touching import touching

_MOST_BUILT = 4096  # problems whose description is remembered
_ELSEWHERE = (
    "`{}` reads {}, which is not kept and not in the run ids: put it next to the manifest, or declare it with "
    "`DataFile`"
)
_RELATIVE = (
    "`{}` reads `{}` relative to the folder of the command, not from the copy that is kept: open "
    '`Path(__file__).parent / "…"`'
)

_DYNAMIC = "`{}` imports {} by `importlib`, which is not kept and not in the run ids: write an `import`"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Module:
    """A problem file next to the manifest.

    Attributes:
        name: as the manifest writes it, without the attribute: ``models/decay.py``.
        attribute: the problem in it.
        code: it and the modules that it imports.
    """

    name: str
    attribute: str
    code: OwnCode

    @property
    def sha256(self) -> str:
        """The hash of the code."""
        return self.code.sha256

    def entry(self) -> dict[str, str]:
        """What the header of a plan says of it."""
        return {"file": str(self.code.path), "folder": str(self.code.folder), "attribute": self.attribute}


@dataclass(frozen=True, slots=True)
class Named:
    """A plug-in, and the file that it came from, if it did."""

    plugin: ProblemPlugin | EnginePlugin
    module: Module | None = None


def load_plugins(
    kind: str, names: Mapping[str, str], folder: Path, found: list[Diagnostic], timeout_s: float | None = None
) -> dict[str, Named]:
    """Plug-ins by name.

    Args:
        kind: "problem" or "engine".
        names: name → place in the manifest.
        folder: of the manifest, for problems in files.
        found: what is wrong goes here.
        timeout_s: how long a run may take: importing its problem may take as long.
    """
    group = registry.PROBLEMS if kind == "problem" else registry.ENGINES
    loaded: dict[str, Named] = {}
    for name, place in names.items():
        try:
            if kind == "problem" and is_file_problem(name):
                loaded[name] = _from_file(name, folder, timeout_s)
            else:
                loaded[name] = Named(registry.load(group, name))
        except CampaignError as error:
            found.append(Diagnostic.of(place, error))
    return loaded


def _from_file(name: str, folder: Path, timeout_s: float | None) -> Named:
    file, attribute = split_name(name)
    path = data.inside(folder, file)
    if path is None:
        raise DataFileError(f"the problem file `{file}` is not in {folder}", hint="put it next to the manifest")
    code = own_code(path, folder, timeout_s and timeout_s + IMPORTS_S)
    return named_in(code, file, attribute)


def named_in(code: OwnCode, file: str, attribute: str) -> Named:
    """The plug-in of a problem file; `file` is its name in run ids."""
    return Named(file_plugin(code, attribute), Module(name=file, attribute=attribute, code=code))


class Built(NamedTuple):
    """What building a problem tells before its runs.

    Attributes:
        space: of theta.
        beside: name → SHA-256 of the files beside its code that it read.
        warnings: files that it read and that are not kept.
    """

    space: ThetaSpace
    beside: Mapping[str, str]
    warnings: tuple[str, ...]


_built: dict[bytes, Built] = {}


def built_once(
    named: Named,
    trials: Iterable[BaseModel],
    declared: Mapping[str, Mapping[str, str]],
    key: bytes,
    timeout_s: float | None = None,
) -> Built:
    """`space_of`, and what a problem in a file reads; remembered for equal code, options and files.

    Args:
        named: the problem.
        trials: options of several runs, with the paths of declared files.
        declared: the files that the options name.
        key: equal where the code and everything that it is given are equal.
        timeout_s: how long a run may take.

    Raises:
        CampaignError: as `space_of`.
    """
    code = named.module.code if named.module is not None else None
    known = _built.get(key)
    if known is not None and (code is None or all(_sha256(code, name) == h for name, h in known.beside.items())):
        return known
    plugin: ProblemPlugin = named.plugin  # pyright: ignore[reportAssignmentType]
    if code is None:
        return Built(space_of(plugin, trials, timeout_s), {}, ())
    tried: list[BaseModel] = []
    with noted() as found:
        space = space_of(plugin, (tried.append(one) or one for one in trials), timeout_s)
        if plugin.space is not None and not plugin.gather:  # what it reads shows only when it is built
            with contextlib.suppress(Exception), touching("built", plugin.name, _limit(timeout_s)):
                registry.load_reference(plugin.build)(tried[0])
    given = {entry["path"] for entry in declared.values()}
    reads = sorted_out([one for one in found if str(one.path) not in given], code)
    made = Built(space, {name: data.sha256(path) for name, path in reads.beside.items()}, _warnings(named, code, reads))
    if len(_built) >= _MOST_BUILT:
        _built.clear()
    if len(tried) == 1:  # else the key, which names the first run, does not say of which run this is true
        _built[key] = made
    return made


def _warnings(named: Named, code: OwnCode, reads: Reads) -> tuple[str, ...]:
    """What is read and not kept; nothing where the copies are read: it has been said."""
    if code.kept is not None:
        return ()
    return tuple(
        text.format(named.plugin.name, one)
        for text, field in ((_ELSEWHERE, "elsewhere"), (_RELATIVE, "relative"), (_DYNAMIC, "dynamic"))
        for one in dict.fromkeys((*getattr(code.reads, field), *getattr(reads, field)))
    )


def _sha256(code: OwnCode, name: str) -> str | None:
    try:
        return data.sha256(code.place(name))
    except DataFileError:
        return None


MOST_LATE = 3  # runs that are tried although building takes longer than `IMPORTS_S`
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
        text = f"the problem `{plugin.name}` reads other runs, so it cannot be built before they exist"
        raise InvalidValue(text, hint="give its plug-in `space`")
    reason: CampaignError | None = None
    tried: list[BaseModel] = []
    n_late = 0
    for options in trials:
        if n_late == MOST_LATE:
            break
        if options in tried:
            continue
        tried.append(options)
        begun = time.monotonic()
        try:
            if plugin.space is None:
                return _built_space(plugin, options, timeout_s)
            with touching("built", plugin.name, _limit(timeout_s)):
                return plugin.space(options)
        except CampaignError as error:
            reason = reason or error
        except (Exception, SystemExit) as error:
            text = f"the problem `{plugin.name}` cannot be built: {type(error).__name__}: {error}"
            reason = reason or InvalidValue(text)
        n_late += time.monotonic() - begun > IMPORTS_S
    raise reason or InvalidValue(f"the problem `{plugin.name}` has no valid options")


def _built_space(plugin: ProblemPlugin, options: BaseModel, timeout_s: float | None) -> ThetaSpace:
    """The space of a problem that is built to know it; then it is also known whether its model can be compiled."""
    from campaign.problem.traceable import require_traceable

    problem = None
    try:
        with time_limit(_limit(timeout_s)):
            with touching("built", plugin.name, _limit(timeout_s)):
                problem = registry.load_reference(plugin.build)(options)
            with touching("traced", plugin.name, _limit(timeout_s)):
                require_traceable(problem, plugin.name)
    except OutOfTime as error:
        if problem is None:
            own = stack_of(error)
            where = f" ({own[-1]})" if own else ""
            text = f"the problem `{plugin.name}` is not built within `timeout_s` {timeout_s:g} s{where}"
            raise InvalidValue(text, hint="raise `timeout_s`, or see where `build` waits") from None
    return problem.space


def _limit(timeout_s: float | None) -> float | None:
    return timeout_s and timeout_s + IMPORTS_S


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
