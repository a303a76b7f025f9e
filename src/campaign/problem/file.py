"""Problems in a Python file next to the manifest: ``"problem": {"name": "decay.py:Decay"}``.

The attribute is a `ProblemPlugin`, or a callable (a function, an `eqx.Module` class) whose annotated signature becomes
the options. The file is imported when it is named, never before, with the modules beside it (`own_code`); workers
import the copies that the campaign keeps.
"""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, create_model

from campaign import data
from campaign.errors import CampaignError, Damage, InvalidValue, UnknownName, nearest
from campaign.float64 import use_float64
from campaign.problem.foreign.source import building
from campaign.problem.own_code import OwnCode
from campaign.problem.reads import Read, announce, noted, sorted_out
from campaign.registry import Options, ProblemPlugin
from campaign.store.kept import check_file, read_kept
from campaign.touching import touching
from campaign.whose import OWN_FILE, is_own_file

_MOST_BUILT, _MOST_BYTES = 64, 100_000_000  # problems of one file that are remembered, and their arrays together


def is_file_problem(name: str) -> bool:
    """Whether a problem's name means a file: ``decay.py:Decay``."""
    return OWN_FILE in name


def split_name(name: str) -> tuple[str, str]:
    """``"models/decay.py:Decay"`` → ``("models/decay.py", "Decay")``.

    Raises:
        InvalidValue: no file or no attribute.
    """
    file, _, attribute = name.rpartition(":")
    if not file.endswith(".py") or not attribute.isidentifier():
        raise InvalidValue(f"`{name}` is not a problem in a file", hint="write `file.py:Name`")
    return file, attribute


_loaded: dict[Path, OwnCode] = {}


def load_file_problem(path: str | Path, attribute: str, folder: str | Path | None = None) -> ProblemPlugin:
    """The plug-in that a file holds.

    Args:
        path: of the Python file.
        attribute: name of a `ProblemPlugin` or of a callable in it.
        folder: of the manifest, or the tree of copies that a campaign keeps; the file's own when None.

    Raises:
        InvalidValue: the file cannot be imported, or the attribute cannot be a problem.
        UnknownName: the file has no such attribute.
        Damage: a copy is not the file that was submitted.
    """
    return file_plugin(own_code(path, folder), attribute)


def own_code(path: str | Path, folder: str | Path | None = None, seconds: float | None = None) -> OwnCode:
    """The code of a problem file, imported; again where a file has changed. See `load_file_problem`.

    `seconds`: that the import may take, where a parent waits for this process (`touching`).
    """
    path = Path(os.path.abspath(path))
    folder = (path.parent if folder is None else Path(folder)).resolve()
    path = folder / (path.name if path.parent.resolve() == folder else path.relative_to(folder))
    known = _loaded.get(path)
    if known is not None and known.folder == folder and known.is_current():
        return known
    kept, problem = read_kept(folder), path.relative_to(folder).as_posix()
    if kept is not None and problem not in kept.code:
        raise Damage(f"{path} is not among the problem files that were submitted", hint="run `campaign verify`")
    code = OwnCode(folder, problem, kept)
    for file in code.files.values():  # of a copy: what it reads while it is imported is checked as well
        check_file(file)
    try:
        with touching("imported", code.path.name, seconds):
            _import(code)
    except BaseException:
        code.forget()
        raise
    _loaded[path] = code
    return code


def file_plugin(code: OwnCode, attribute: str) -> ProblemPlugin:
    """The plug-in of an attribute of a problem file."""
    path, module = code.path, code.module()
    found = getattr(module, attribute, None)
    if found is None:
        public = [name for name in vars(module) if not name.startswith("_")]
        raise UnknownName(f"`{path.name}` has no `{attribute}`", hint=nearest(attribute, public))
    if isinstance(found, ProblemPlugin):
        own, many = found.build, found.build_many
        return replace(
            found,
            build=_sourced(lambda *given: code.reference(own)(*given), code, attribute),
            build_many=many and (lambda *given: code.reference(many)(*given)),
        )
    if not callable(found):
        raise InvalidValue(f"`{attribute}` in `{path.name}` is neither a ProblemPlugin nor a callable")
    options = options_of(found, f"{path.name}:{attribute}")

    def build(values: BaseModel) -> Any:
        return found(**{name: getattr(values, name) for name in options.model_fields})

    return ProblemPlugin(
        name=f"{path.name}:{attribute}",
        version=str(getattr(found, "version", "0")),
        options=options,
        build=_sourced(build, code, attribute),
        description=(inspect.getdoc(found) or "").partition("\n")[0],
    )


def _sourced(build: Callable[..., Any], code: OwnCode, attribute: str) -> Callable[..., Any]:
    """`build`, once for equal options; meanwhile Python models know the file that they can be built from again."""

    def sourced(values: BaseModel, *gathered: Any) -> Any:
        key = (attribute, values.model_dump_json())
        known = code.built.pop(key, None)
        if known is not None and known.is_current() and not gathered:
            code.built[key] = known  # used last
            announce(known.reads)
            return known.problem
        with noted() as found, building(str(code.path), str(code.folder), attribute, values.model_dump_json):
            problem = build(values, *gathered)
        if not gathered:
            _remember(code, key, problem, found)
        return problem

    return sourced


@dataclass(frozen=True, slots=True, eq=False)
class _Built:
    """A problem that was built, with the bytes of its arrays, and what it read."""

    problem: Any
    n_bytes: int
    reads: Sequence[Read]
    hashes: Mapping[Path, str]

    def is_current(self) -> bool:
        """Whether every file is still as it was read."""
        return all(path.is_file() and data.sha256(path) == known for path, known in self.hashes.items())


def _remember(code: OwnCode, key: tuple[str, str], problem: Any, reads: Sequence[Read]) -> None:
    """Keep a problem that was built; those that were not used for longest go when they are many or large."""
    import jax

    n_bytes = sum(getattr(leaf, "nbytes", 0) for leaf in jax.tree.leaves(problem))
    hashes = {path: data.sha256(path) for path, *_ in reads if path.is_file() and is_own_file(path)}
    code.built[key] = _Built(problem, n_bytes, reads, hashes)
    while len(code.built) > _MOST_BUILT or sum(one.n_bytes for one in code.built.values()) > _MOST_BYTES:
        del code.built[next(iter(code.built))]


def options_of(function: Any, name: str) -> type[BaseModel]:
    """The options model of a callable, from its annotated signature.

    Raises:
        InvalidValue: a parameter without annotation, or ``*args`` / ``**kwargs``.
    """
    try:
        hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function, include_extras=True)
    except NameError as error:
        raise InvalidValue(f"the signature of `{name}` names an unknown type: {error}") from None
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or parameter.name not in hints:
            raise InvalidValue(
                f"the parameter `{parameter.name}` of `{name}` has no type",
                hint="annotate every parameter, for example `half_life: float = 2.0`",
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    return create_model(f"{name.replace('.py:', '_')}Options", __base__=Options, **fields)


def _import(code: OwnCode) -> None:
    """Import a problem file; what it reads meanwhile belongs to its code."""
    if not code.path.is_file():
        raise InvalidValue(f"the file `{code.path}` cannot be read: it is not there")
    use_float64()
    try:
        with noted() as found:
            code.module()
    except CampaignError:
        raise
    except (Exception, SystemExit) as error:
        line = getattr(error, "lineno", None) or _line(error, code.path)
        where = f"`{code.path.name}`" + (f" line {line}" if line else "")
        raise InvalidValue(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    reads = sorted_out(found, code)
    for name, path in reads.beside.items():
        code.note(name, path)
    code.reads = reads._replace(beside={})


def _line(error: BaseException, path: Path) -> int | None:
    """Line of the file where its import failed."""
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
