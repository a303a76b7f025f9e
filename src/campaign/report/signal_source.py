"""What signals are made of, wherever a run is: in a campaign's stores, in memory, or in a folder of plain files."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from campaign.analysis.artifacts import load_grads, load_meta, load_summary, load_trace
from campaign.report.source import RunSource
from campaign.report.units import unit_in_name
from campaign.store.layout import RunFolder

GROUPS = ("theta", "stderr", "derived", "metric", "truth", "init_delta", "final_delta")
_OF_PARAMETERS = ("theta", "truth", "start", "stderr", "init_delta", "final_delta")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SignalSource:
    """Numbers of one run by name.

    Attributes:
        steps: numbers of the recorded steps (T,).
        arrays: name → array, `xarray` or NumPy, read when it is used.
        dims: name → its axes: "step", "walker", "parameter", "block".
        parts: axis → names along it.
        constants: dotted name → a number that is the same at every step, such as ``truth.x``.
        units: dotted name → unit.
    """

    steps: np.ndarray
    arrays: Mapping[str, Any]
    dims: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, tuple[str, ...]]
    constants: Mapping[str, Any]
    units: Mapping[str, str]

    def expanded(self, pattern: str) -> Sequence[str]:
        """Names that a pattern matches; the pattern itself where it has no * or matches nothing."""
        if "*" not in pattern:
            return [pattern]
        name = pattern.partition(".")[0]
        parts = self._parts(name)
        names = [f"{name}.{part}" for part in parts] if parts else list(self.constants)
        return fnmatch.filter(names, pattern) or [pattern]

    def over_steps(self, name: str) -> np.ndarray:
        """One number at every recorded step (T,): an array, a component of one (the mean of its walkers), a constant.

        NaN where there is none of that name.
        """
        if self.dims.get(name) == ("step",):
            return np.asarray(self.arrays[name], np.float64)
        array, _, part = name.partition(".")
        parts = self._parts(array)
        if part in parts:
            values = np.asarray(self.arrays[array], np.float64)[..., parts.index(part)]
            return values.reshape(len(self.steps), -1).mean(axis=1)
        value = self.constants.get(name)
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        return np.full(len(self.steps), float(value) if is_number else np.nan)  # pyright: ignore[reportArgumentType]

    def unit(self, name: str) -> str:
        """Unit of a name, else what its ending says; a component has that of its array where it has none itself."""
        kind, _, rest = name.partition(".")
        if kind in _OF_PARAMETERS and f"theta.{rest}" in self.units:
            return self.units[f"theta.{rest}"] or unit_in_name(rest)
        return self.units.get(name) or unit_in_name(name)

    @property
    def seconds(self) -> np.ndarray:
        """Seconds from the start of the run to the end of each step: recorded, else shared evenly; NaN without both."""
        if self.dims.get("time_s") == ("step",):
            return np.asarray(self.arrays["time_s"], np.float64)
        runtime, n_steps = self.constants.get("runtime_s"), self.constants.get("n_steps")
        if not runtime or not n_steps:
            return np.full(len(self.steps), np.nan)
        return (self.steps + 1) * (float(runtime) / float(n_steps))

    def _parts(self, array: str) -> tuple[str, ...]:
        """Names of the components of an array over steps; none where it has no last axis with names."""
        dims = self.dims.get(array, ())
        return self.parts.get(dims[-1], ()) if len(dims) > 1 and dims[0] == "step" else ()


def of_run(run: RunSource) -> SignalSource:
    """A run of a campaign."""
    arrays = {str(name): run.trace[name] for name in run.trace.variables}
    options = {f"{kind}.{name}": v for kind in ("problem", "engine") for name, v in run.options(kind).items()}
    own = {f"theta.{p.name}": p.unit for p in run.program.parameters}
    derived = {f"derived.{name}": unit for name, unit in run.program.derived.items()}
    return of_arrays(
        arrays,
        [p.name for p in run.program.free],
        run.program.blocks,
        steps=run.steps,
        constants={**options, **run.row},
        units={**run.units, **own, **derived},
    )


def of_folder(folder: str | Path) -> SignalSource:
    """A run from the files of its folder alone: trace.npz, summary.json, meta.json, and grads.npz if it is whole.

    Raises:
        UnknownName: one of the first three is missing.
    """
    arrays, meta, summary = dict(load_trace(folder)), load_meta(folder), load_summary(folder)
    layout = (meta.get("theta") or {}).get("index_map") or {"entries": []}
    blocks = list(dict.fromkeys(entry["block"] for entry in layout["entries"]))
    if RunFolder(Path(folder)).arrays("grads").exists():
        found = load_grads(folder)
        if len(found["steps"]) == len(arrays.get("loss", ())):
            arrays["grad"] = found["grad"]
    names = [str(name) for name in arrays.get("parameter", ())]
    options = {f"{kind}.{n}": v for kind in ("problem", "engine", "start") for n, v in (meta.get(kind) or {}).items()}
    constants = {**options, **flattened(summary)}
    return of_arrays(arrays, names, blocks, constants=constants, units=meta.get("units") or {})


def of_arrays(
    arrays: Mapping[str, Any],
    parameters: Sequence[str],
    blocks: Sequence[str],
    *,
    constants: Mapping[str, Any],
    units: Mapping[str, str],
    steps: np.ndarray | None = None,
) -> SignalSource:
    """From arrays by name, the names of the free parameters and of their blocks, and what else is known of the run."""
    if steps is None:
        longest = max((len(arrays[name]) for name in ("loss", "theta") if name in arrays), default=0)
        steps = np.asarray(arrays["step"]) if "step" in arrays else np.arange(longest)
    named = np.asarray(arrays["block"]).tolist() if "block" in arrays else blocks
    parts = {"parameter": tuple(parameters), "block": tuple(map(str, named))}
    dims = {name: _dims(name, array, len(steps), parts) for name, array in arrays.items()}
    own = {name: str(array.attrs.get("units", "")) for name, array in arrays.items() if hasattr(array, "attrs")}
    return SignalSource(steps=steps, arrays=arrays, dims=dims, parts=parts, constants=constants, units={**own, **units})


def flattened(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with dotted names for the numbers of its groups, as the columns of the table have them."""
    found = {name: value for name, value in record.items() if name not in GROUPS}
    return found | {f"{group}.{name}": v for group in GROUPS for name, v in (record.get(group) or {}).items()}


def _dims(name: str, array: Any, n_steps: int, parts: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The axes of an array: as it says, else by their lengths."""
    shape = array.shape
    if not shape or shape[0] != n_steps or (hasattr(array, "dims") and array.dims[:1] != ("step",)):
        return ()
    if len(shape) == 1:
        return ("step",)
    axis = "block" if name.startswith("block_") else "parameter"
    last = axis if shape[-1] == len(parts[axis]) else f"{name}_{len(shape) - 2}"
    return ("step", *("walker" for _ in shape[1:-1]), last)
