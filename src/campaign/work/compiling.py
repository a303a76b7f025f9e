"""Compiled programs of this process, kept by structure: a worker compiles each once."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from collections import OrderedDict
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import jax

from campaign.engines.program import Program
from campaign.engines.programs import program_for
from campaign.work.group import Group
from campaign.work.jax_runtime import on_cpu

KEEP = 16  # most programs; one of a small fit takes 20 MB, of a cosmology fit 60 MB
_MOST_MAPPINGS = 30_000  # of memory; at the system's limit, 65,530, the next program ends the process
_programs: OrderedDict[Any, Program] = OrderedDict()


FORCED = "CAMPAIGN_LANES"  # environment: "all" puts all runs of a block side by side on a CPU too, for tests


def lanes_of(group: Group) -> int:
    """Runs that the device advances together: one on a CPU, the whole block on an accelerator."""
    return 1 if on_cpu() and os.environ.get(FORCED) != "all" else len(group.batch.words)


def compiled_for(group: Group, traced: Callable[[], None] = lambda: None) -> tuple[Program, float]:
    """The compiled calls for a group, and the seconds that compiling took now (0.0 when it was here already).

    `traced` is called once the model's own code has done its part, and XLA begins.
    """
    leaves, structure = jax.tree.flatten(group.batch.work)
    shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
    batched = tuple(jax.tree.leaves(group.batch.is_batched))
    key = (structure, shapes, batched, len(group.batch.words), lanes_of(group))
    found = _programs.get(key)
    if found is not None:
        _programs.move_to_end(key)
        return found, 0.0
    make_room()

    def meanwhile() -> None:
        traced()
        _import_what_follows()

    program = program_for(group.batch, lanes=lanes_of(group), meanwhile=meanwhile)
    _programs[key] = program
    return program, program.compile_s


def make_room() -> None:
    """Forget the half of the programs that was used longest ago, where there are many; all where mappings run short."""
    if n_mappings() > _MOST_MAPPINGS:
        forget_programs()
    elif len(_programs) >= KEEP:
        for _ in range(KEEP // 2):
            _programs.popitem(last=False)
        _tidy()


def forget_programs() -> None:
    """Free all compiled programs, this module's and those of JAX's own caches."""
    _programs.clear()
    _tidy()


def _tidy() -> None:
    """Free what JAX remembers of programs that are gone (2 MB each), and give the memory back (10 MB each)."""
    jax.clear_caches()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # a C library that is not GNU's
        ctypes.CDLL(None).malloc_trim(0)


def n_mappings() -> int:
    """Mappings of memory that this process holds: a compiled program takes a few hundred. 0 where nothing tells."""
    try:
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return 0


def _import_what_follows() -> None:
    """What recording and reducing need. XLA, which compiles in other threads, leaves the interpreter free for it."""
    for name in ("scipy.special", "numcodecs.blosc", "pyarrow.json"):
        import_module(name)
