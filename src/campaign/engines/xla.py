"""How a program is compiled: every option belongs to the call, none to the process.

The last bits of a result depend on what XLA makes of a program. Were that decided by the environment (`XLA_FLAGS` is
read once a process, at the first use of JAX) or by a JAX setting that a user may have changed, the same run would give
other bits inline than in a worker. So the options are given with each compilation, and the settings that change a trace
are fixed while a program is traced. Flags that a user sets on purpose stay in force; `foreign_flags` names them, and
they are recorded with what was computed.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import jax

# XLA on a CPU runs a loop body as a list of small kernels; a loop whose body touches less than this many bytes becomes
# one function instead. XLA's own limit is 1 kB; at 1 MB a whole fit of four parameters is one function, 6 µs where it
# took 35 µs.
_EXTRA = {"xla_cpu_small_while_loop_byte_threshold": "1000000"}

# XLA's newer CPU code generator makes nothing faster here and takes twice as long to compile (4.8 instead of 9.7 CPU
# seconds for a cosmology fit). Its libraries (YNNPACK, Eigen) share long sums among the threads of a process, and how
# many there are would show in the last bits; without them a fit takes the same time (200,000 rows, 4 or 12 parameters:
# within 3 % of the CPU time).
_OPTIONS = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_multi_thread_eigen": False,
    "xla_cpu_experimental_ynn_fusion_type": "",
}

_MARK = "campaign_backend_extra_options"  # a compiler option of ours, taken out again by the hook below


@contextlib.contextmanager
def settled() -> Iterator[None]:
    """JAX's settings that change what a program computes, fixed for the tracing of one program."""
    with (
        jax.enable_x64(True),
        jax.threefry_partitionable(True),
        jax.default_prng_impl("threefry2x32"),
        jax.numpy_dtype_promotion("standard"),
    ):
        yield


def compile_lowered(lowered: Any) -> Callable[..., Any]:
    """Compile a lowered call, with the options above on a CPU."""
    if jax.devices()[0].platform != "cpu":
        return lowered.compile()
    marked = {_MARK: True} if _hook() else {}
    return lowered.compile(compiler_options={name: _OPTIONS[name] for name in _known()} | marked)


def at_once(works: Mapping[str, Callable[[], Any]], meanwhile: Callable[[], None]) -> dict[str, Any]:
    """What several calls that compile give, each in a thread; `meanwhile` is called in this one."""
    with ThreadPoolExecutor(3) as pool:
        compiling = {name: pool.submit(work) for name, work in works.items()}
        meanwhile()
        return {name: one.result() for name, one in compiling.items()}


def compiled_calls(
    calls: Mapping[str, tuple[Callable[..., Any], tuple[Any, ...]]],
    meanwhile: Callable[[], None],
    **others: Callable[[], Any],
) -> dict[str, Callable[..., Any]]:
    """Compile functions for the shapes of their arguments: name → (function, arguments).

    Args:
        calls: what to compile.
        meanwhile: called while the compiler is at work.
        others: further calls that compile something; they begin first, and are waited for.
    """
    with settled():
        lowered = {name: jax.jit(call).lower(*arguments) for name, (call, arguments) in calls.items()}
    works = {name: partial(compile_lowered, one) for name, one in lowered.items()}
    found = at_once({**others, **works}, meanwhile)
    return {name: found[name] for name in calls}


def foreign_flags() -> str:
    """XLA flags of this process's environment: part of what decides the last bits, so they are recorded."""
    return os.environ.get("XLA_FLAGS", "").strip()


@cache
def _known() -> tuple[str, ...]:
    """Those of our options that this XLA has."""
    nothing = jax.jit(lambda: 0).lower()

    def has(*names: str) -> bool:
        try:
            nothing.compile(compiler_options={name: _OPTIONS[name] for name in names})
        except jax.errors.JaxRuntimeError:
            return False
        return True

    return tuple(_OPTIONS) if has(*_OPTIONS) else tuple(name for name in _OPTIONS if has(name))


@cache
def _hook() -> bool:
    """Teach JAX to pass a compilation's backend options on. False: this JAX cannot be taught, options stay as they are.

    `xla_backend_extra_options` is a map, which `compiler_options` cannot express. The options of one compilation are a
    protocol buffer, and appending a field to one merges it. Only compilations with our mark are touched.
    """
    try:
        from jax._src import compiler
        from jaxlib import xla_client

        original = compiler.get_compile_options

        def get_compile_options(*args: Any, **kwargs: Any) -> Any:
            overrides = dict(kwargs.get("env_options_overrides") or {})
            if overrides.pop(_MARK, None) is None:
                return original(*args, **kwargs)
            options = original(*args, **(kwargs | {"env_options_overrides": overrides}))
            return xla_client.CompileOptions.ParseFromString(options.SerializeAsString() + _extra_options())

        plain = original(num_replicas=1, num_partitions=1)
        if not isinstance(
            xla_client.CompileOptions.ParseFromString(plain.SerializeAsString() + _extra_options()), type(plain)
        ):
            return False
        compiler.get_compile_options = get_compile_options
    except (ImportError, AttributeError, TypeError):  # private names of JAX, which may go
        return False
    return True


def _extra_options() -> bytes:
    """CompileOptionsProto.executable_build_options (3) .debug_options (3) .xla_backend_extra_options (500): a map."""
    entries = (_field(1, key.encode()) + _field(2, value.encode()) for key, value in _EXTRA.items())
    return _field(3, _field(3, b"".join(_field(500, entry) for entry in entries)))


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])
