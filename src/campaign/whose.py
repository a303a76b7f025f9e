"""Whose a module or a file is: people's own, or installed, or part of Python or of the system."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import sysconfig
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, entry_points, requires
from pathlib import Path

OWN_FILE = ".py:"  # in the name of a problem that is a file of people's own: ``decay.py:Decay``


def usual_place(name: str) -> ModuleSpec | None:
    """Where `import` would find a module."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def is_own(name: str, spec: ModuleSpec) -> bool:
    """Whether a top-level module is people's own, by where it is."""
    if name in sys.stdlib_module_names:
        return False
    if spec.origin is not None and not spec.has_location:  # built into Python
        return False
    places = [spec.origin] if spec.origin is not None else list(spec.submodule_search_locations or ())
    return bool(places) and all(os.path.exists(place) and is_own_file(place) for place in places)


def is_own_file(path: str | Path) -> bool:
    """Whether a file is people's own: neither installed, nor part of a package that registers plug-ins."""
    return not is_installed(path) and not _is_in(path, _plugin_folders())


def is_installed(path: str | Path) -> bool:
    """Whether a file is installed, ours, or part of Python or of the system."""
    return bool({"site-packages", "dist-packages"} & set(Path(path).parts)) or _is_in(path, _others_folders())


def _is_in(path: str | Path, folders: tuple[Path, ...]) -> bool:
    path = Path(os.path.abspath(path))
    return any(path.is_relative_to(folder) for folder in folders)


@cache
def shared_packages() -> frozenset[str]:
    """Top-level packages of which a process has one: ours, what we need, and packages that register plug-ins."""
    groups = ("problems", "engines", "commands", "panels", "profiles")
    plugins = {
        entry.value.partition(":")[0].partition(".")[0]
        for group in groups
        for entry in entry_points(group=f"campaign.{group}")
    }
    try:
        requirements = requires("campaign") or ()
    except PackageNotFoundError:  # run from its sources
        requirements = ()
    needed = (re.match(r"[\w.-]+", text) for text in requirements)
    return frozenset({"campaign", *plugins, *(name[0].lower().replace("-", "_") for name in needed if name)})


@cache
def _others_folders() -> tuple[Path, ...]:
    python = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    campaign = Path(__file__).resolve().parent
    system = ("/proc", "/sys", "/dev", "/etc", "/usr", "/lib")
    return tuple(Path(folder) for folder in (*python, sys.prefix, sys.base_prefix, campaign, *system))


@cache
def _plugin_folders() -> tuple[Path, ...]:
    specs = [spec for name in shared_packages() if (spec := usual_place(name)) is not None]
    return tuple(Path(spec.origin).parent for spec in specs if spec.origin is not None and spec.has_location)
