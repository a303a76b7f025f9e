"""What each position of theta means: named entries in order, in blocks; and packing by name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.space.theta import Parameter

_COMPONENT = re.compile(r"(?P<name>.+)\[(?P<index>\d+)\]")
ONE_BLOCK = "theta"


def one_block(name: str) -> str:
    """The block of every parameter where nobody says otherwise."""
    return ONE_BLOCK


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One named value of theta: positions `start` up to `stop`, of some shape, raveled in C order.

    Attributes:
        block: the family that it belongs to; blocks need not be contiguous.
        label: for people, where the name is not enough.
    """

    name: str
    start: int
    stop: int
    shape: tuple[int, ...] = ()
    block: str = ONE_BLOCK
    unit: str = ""
    label: str | None = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def document(self) -> dict[str, Any]:
        known = asdict(self) | {"shape": list(self.shape)}
        return {key: value for key, value in known.items() if key != "label" or value is not None}


@dataclass(frozen=True, slots=True)
class IndexMap:
    """The entries of theta, which are contiguous, begin at 0 and cover it.

    Raises:
        InvalidValue: they do not, or a name is there twice.
    """

    entries: tuple[Entry, ...]

    def __post_init__(self) -> None:
        end, seen = 0, set()
        for entry in self.entries:
            if entry.start != end or entry.stop - entry.start != entry.size:
                raise InvalidValue(
                    f"the entry `{entry.name}` of an index map goes from {entry.start} to {entry.stop}, and its shape "
                    f"{list(entry.shape)} from {end} to {end + entry.size}",
                    hint="entries are contiguous and begin at 0",
                )
            if entry.name in seen:
                raise InvalidValue(f"the entry `{entry.name}` appears twice in an index map")
            seen.add(entry.name)
            end = entry.stop

    @classmethod
    def of(cls, parameters: Iterable[Parameter], block: Callable[[str], str] = one_block) -> IndexMap:
        """The map of some parameters in order, such as `ThetaSpace.parameters`.

        Neighbours ``x[0]``, ``x[1]``, … of one unit are one entry ``x`` of shape (k,); one alone keeps its name.

        Args:
            block: name of a parameter, or of the vector that it is a component of → its block.
        """
        groups: list[list[Parameter]] = []
        for parameter in parameters:
            if groups and _follows(groups[-1], parameter):
                groups[-1].append(parameter)
            else:
                groups.append([parameter])
        entries, start = [], 0
        for group in groups:
            component = _COMPONENT.fullmatch(group[0].name)
            base = group[0].name if component is None else component["name"]
            name, shape = (base, (len(group),)) if len(group) > 1 else (group[0].name, ())
            own = {"name": name, "shape": shape, "block": block(base), "unit": group[0].unit}
            entries.append(Entry(start=start, stop=start + len(group), **own))
            start += len(group)
        return cls(tuple(entries))

    @classmethod
    def of_modes(cls, loadings: np.ndarray, primitive: IndexMap, *, name: str = "z") -> IndexMap:
        """The map of coordinates z with theta = theta_ref + L z: one entry a mode, ``z[0]``, ``z[1]``, …

        The block of a mode is that of the parameter with its largest loading.

        Args:
            loadings: L (D, k), each row in a unit of comparable size (a scale of the parameter).
            primitive: the map of theta.

        Raises:
            InvalidValue: L has another number of rows.
        """
        loadings = np.asarray(loadings, np.float64)
        if loadings.ndim != 2 or len(loadings) != len(primitive):
            raise InvalidValue(f"loadings have shape {loadings.shape}, and theta has {len(primitive)} numbers")
        blocks = primitive.block_names
        largest = np.argmax(np.abs(loadings), axis=0).tolist()
        return cls(
            tuple(Entry(name=f"{name}[{i}]", start=i, stop=i + 1, block=blocks[k]) for i, k in enumerate(largest))
        )

    @classmethod
    def parse(cls, document: Iterable[Mapping[str, Any]]) -> IndexMap:
        """From the entries that `document` gave; further keys are passed over.

        Raises:
            InvalidValue: an entry lacks a key, or the entries contradict each other.
        """
        known = Entry.__dataclass_fields__
        try:
            own: list[dict[str, Any]] = [
                {k: tuple(v) if k == "shape" else v for k, v in one.items() if k in known} for one in document
            ]
            return cls(tuple(Entry(**one) for one in own))
        except TypeError as error:
            raise InvalidValue(f"an entry of an index map is not valid: {error}") from error

    def document(self) -> dict[str, Any]:
        """JSON: the hash of the layout, and the entries."""
        return {"layout_hash": self.layout_hash, "entries": [entry.document() for entry in self.entries]}

    def __len__(self) -> int:
        """D, the length of theta."""
        return self.entries[-1].stop if self.entries else 0

    @property
    def layout_hash(self) -> str:
        """SHA-256 of the compact JSON [[name, shape], …]: which number stands where, and nothing of blocks or units."""
        text = json.dumps([[e.name, list(e.shape)] for e in self.entries], separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """A name a position: ``x``, or ``x[0]``, ``x[1]`` (``x[0,1]``) of an entry with a shape."""
        return tuple(
            f"{e.name}[{','.join(map(str, index))}]" if e.shape else e.name
            for e in self.entries
            for index in np.ndindex(*e.shape)
        )

    @property
    def block_names(self) -> tuple[str, ...]:
        """The block of each position."""
        return tuple(e.block for e in self.entries for _ in range(e.size))

    @property
    def blocks(self) -> dict[str, np.ndarray]:
        """Block → positions that belong to it, ascending; blocks in order of appearance."""
        of = self.block_names
        return {name: np.array([i for i, own in enumerate(of) if own == name]) for name in dict.fromkeys(of)}

    def with_blocks(self, block: Callable[[str], str] | Mapping[str, str]) -> IndexMap:
        """The same layout in other blocks: by a function, or a mapping, of the names of entries."""
        chosen = block if callable(block) else lambda name: block.get(name, ONE_BLOCK)
        return IndexMap(tuple(replace(entry, block=chosen(entry.name)) for entry in self.entries))

    def pack(self, values: Mapping[str, Any]) -> np.ndarray:
        """theta (D,) from a value for each entry.

        Raises:
            UnknownName: a name that is none of the entries.
            InvalidValue: an entry has no value, or one of another shape.
        """
        names = [entry.name for entry in self.entries]
        for name in values:
            if name not in names:
                raise UnknownName(f"unknown entry `{name}`", hint=nearest(name, names))
        theta = np.empty(len(self), np.float64)
        for entry in self.entries:
            if values.get(entry.name) is None:
                raise InvalidValue(f"the entry `{entry.name}` has no value", hint=f"entries: {', '.join(names)}")
            value = np.asarray(values[entry.name], np.float64)
            if value.shape != entry.shape:
                raise InvalidValue(f"the entry `{entry.name}` has shape {list(value.shape)}, not {list(entry.shape)}")
            theta[entry.start : entry.stop] = value.ravel()
        return theta

    def unpack(self, theta: Any) -> dict[str, np.ndarray]:
        """Name → value, of theta (…, D): arrays (…, *shape).

        Raises:
            InvalidValue: theta has another length.
        """
        theta = self.checked(theta)
        lead = theta.shape[:-1]
        return {e.name: theta[..., e.start : e.stop].reshape((*lead, *e.shape)) for e in self.entries}

    def by_block(self, vectors: Any) -> dict[str, np.ndarray]:
        """Block → its part of vectors (…, D), such as gradients or rows of a Jacobian.

        Raises:
            InvalidValue: they have another length.
        """
        vectors = self.checked(vectors)
        return {name: vectors[..., own] for name, own in self.blocks.items()}

    def block_norms(self, vectors: Any) -> dict[str, np.ndarray]:
        """Block → |v_block| of vectors (…, D); their squares add up to |v|²."""
        return {name: np.sqrt(np.sum(own**2, axis=-1)) for name, own in self.by_block(vectors).items()}

    def checked(self, theta: Any) -> np.ndarray:
        """Vectors of the length of theta.

        Raises:
            InvalidValue: they have another length.
        """
        theta = np.asarray(theta)
        if theta.ndim == 0 or theta.shape[-1] != len(self):
            raise InvalidValue(
                f"theta has shape {theta.shape}, not {len(self)} numbers",
                hint=f"in this order: {', '.join(self.names)}",
            )
        return theta


def _follows(group: list[Parameter], parameter: Parameter) -> bool:
    """Whether a parameter is the next component of a vector that begins with component 0."""
    first, last, own = (_COMPONENT.fullmatch(p.name) for p in (group[0], group[-1], parameter))
    if first is None or last is None or own is None or first["index"] != "0":
        return False
    is_next = own["name"] == last["name"] and int(own["index"]) == int(last["index"]) + 1
    return is_next and parameter.unit == group[0].unit
