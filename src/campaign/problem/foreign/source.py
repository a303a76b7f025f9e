"""Where the process that runs a Python model finds the function: in a problem file, or pickled by this process."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

IN_CHILD = "CAMPAIGN_MODEL_SERVER"  # set in the environment of a model server

_building: ContextVar[FileSource | None] = ContextVar("building", default=None)


@dataclass(frozen=True, slots=True)
class FileSource:
    """A problem in a file, with its options: building it again gives the same function.

    Attributes:
        path: of the file, absolute; in a worker that of the campaign's copy.
        folder: of the manifest, or of the campaign's copies.
        attribute: the problem in it.
        options: as JSON.
    """

    path: str
    folder: str
    attribute: str
    options: str

    def document(self) -> dict[str, Any]:
        return {"path": self.path, "folder": self.folder, "attribute": self.attribute, "options": self.options}


@dataclass(frozen=True, slots=True)
class PickledSource:
    """A function of this process, for one that this process starts itself and that reads nobody else's bytes."""

    data: bytes

    def document(self) -> dict[str, Any]:
        return {"pickle": self.data.hex()}


Source = FileSource | PickledSource


@dataclass(frozen=True, slots=True)
class Function:
    """A user's function and how it is called. See `campaign.problem.python.PythonModel`."""

    function: Callable[..., Any]
    names: tuple[str, ...]
    x: Any
    call: str
    batched: bool


class Captured(BaseException):
    """Ends a build in a model server: the function is found, nothing else of the problem is needed there."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function


@contextlib.contextmanager
def building(path: str, folder: str, attribute: str, options: Callable[[], str]) -> Iterator[None]:
    """While this holds, Python models belong to a problem file."""
    token = _building.set(FileSource(path, folder, attribute, options()))
    try:
        yield
    finally:
        _building.reset(token)


def source_of(function: Function) -> Source:
    """Where a model server finds a function.

    Raises:
        Captured: this process is a model server.
    """
    if os.environ.get(IN_CHILD):
        raise Captured(function)
    source = _building.get()
    if source is not None:
        return source
    import cloudpickle

    return PickledSource(cloudpickle.dumps(function))


def function_of(document: str) -> Function:
    """The function of a source, in a model server."""
    source = json.loads(document)
    if "pickle" in source:
        import pickle

        return _with_constant_x(pickle.loads(bytes.fromhex(source["pickle"])))
    from campaign.problem.file import load_file_problem
    from campaign.registry import load_reference

    plugin = load_file_problem(source["path"], source["attribute"], source["folder"])
    try:
        load_reference(plugin.build)(plugin.options.model_validate_json(source["options"]))
    except Captured as found:
        return _with_constant_x(found.function)
    raise RuntimeError(f"`{source['attribute']}` built no PythonModel")


def _with_constant_x(function: Function) -> Function:
    """The function with an x that it cannot change: the next call would get what the last one left."""
    if not isinstance(function.x, np.ndarray):
        return function
    constant = function.x.view()
    constant.flags.writeable = False
    return replace(function, x=constant)
