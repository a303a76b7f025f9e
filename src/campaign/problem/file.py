"""Problems in a Python file beside the manifest: ``"problem": {"name": "decay.py:Decay"}``.

The attribute is a `ProblemPlugin`, or a callable (a function, an `eqx.Module` class) whose annotated signature becomes
the options. The file is imported when it is named, never before; workers import the snapshot that was taken at
submission.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, create_model

from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.float64 import use_float64
from campaign.problem.foreign.source import building
from campaign.registry import Options, ProblemPlugin, load_reference

MARK = ".py:"


def is_file_problem(name: str) -> bool:
    """Whether a problem's name means a file: ``decay.py:Decay``."""
    return MARK in name


def split_name(name: str) -> tuple[str, str]:
    """``"models/decay.py:Decay"`` → ``("models/decay.py", "Decay")``.

    Raises:
        InvalidValue: no file or no attribute.
    """
    file, _, attribute = name.rpartition(":")
    if not file.endswith(".py") or not attribute.isidentifier():
        raise InvalidValue(f"`{name}` is not a problem in a file", hint="write `file.py:Name`")
    return file, attribute


def load_file_problem(path: str | Path, attribute: str) -> ProblemPlugin:
    """The plug-in that a file holds.

    Args:
        path: of the Python file.
        attribute: name of a `ProblemPlugin` or of a callable in it.

    Raises:
        InvalidValue: the file cannot be imported, or the attribute cannot be a problem.
        UnknownName: the file has no such attribute.
    """
    path = Path(path).resolve()
    module = _import(path)
    found = getattr(module, attribute, None)
    if found is None:
        public = [name for name in vars(module) if not name.startswith("_")]
        raise UnknownName(f"`{path.name}` has no `{attribute}`", hint=nearest(attribute, public))
    if isinstance(found, ProblemPlugin):
        own = found.build
        return replace(found, build=_sourced(lambda *given: load_reference(own)(*given), path, attribute))
    if not callable(found):
        raise InvalidValue(f"`{attribute}` in `{path.name}` is neither a ProblemPlugin nor a callable")
    options = options_of(found, f"{path.name}:{attribute}")

    def build(values: BaseModel) -> Any:
        return found(**{name: getattr(values, name) for name in options.model_fields})

    return ProblemPlugin(
        name=f"{path.name}:{attribute}",
        version=str(getattr(found, "version", "0")),
        options=options,
        build=_sourced(build, path, attribute),
        description=(inspect.getdoc(found) or "").partition("\n")[0],
    )


def _sourced(build: Callable[..., Any], path: Path, attribute: str) -> Callable[..., Any]:
    """`build`, during which Python models know the file that they can be built from again."""

    def sourced(values: BaseModel, *gathered: Any) -> Any:
        with building(str(path), attribute, values.model_dump_json):
            return build(values, *gathered)

    return sourced


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


def _import(path: Path) -> ModuleType:
    """The module of a file, once a process and content; under a name that says what it is."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidValue(f"the file `{path}` cannot be read: {error.strerror}") from None
    name = f"campaign_file_{path.stem}_{hashlib.sha256(content).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidValue(f"`{path.name}` is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    use_float64()
    is_writing, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # nothing of ours beside the user's file
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        line = getattr(error, "lineno", None) or _line(error, path)
        where = f"`{path.name}`" + (f" line {line}" if line else "")
        raise InvalidValue(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.dont_write_bytecode = is_writing
    return module


def _line(error: BaseException, path: Path) -> int | None:
    """Line of the file where its import failed."""
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
