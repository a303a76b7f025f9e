"""What a foreign model is: a batch of theta in, values or a failure out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from campaign.errors import InvalidValue

ERROR, TIMEOUT = "error", "timeout"
TAIL = 4096  # bytes of output that are kept with a failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An evaluation that gave no values.

    Attributes:
        outcome: "error" or "timeout".
        message: one line: class and message of an exception, file and line; or how a process ended.
        details: what a person needs to find the cause: ``traceback``, ``stdout``, ``stderr`` (their ends), ``folder``,
            ``exit_status``. Only what there is.
    """

    outcome: str
    message: str
    details: Mapping[str, str] = field(default_factory=dict)


class Answers(NamedTuple):
    """Values of the first rows of a batch, in order; a failure belongs to the row after them.

    Rows behind a failure have not been tried. Without a failure there is a value for every row.
    """

    values: np.ndarray  # (K, M)
    failure: Failure | None = None

    @classmethod
    def of(cls, rows: Sequence[np.ndarray], failure: Failure | None = None) -> Answers:
        """From one flat vector a row."""
        return cls(np.array(rows, np.float64) if rows else np.empty((0, 0)), failure)


class Evaluator(Protocol):
    """A model outside of JAX. Nothing that it does may raise: what goes wrong is a `Failure`."""

    def evaluate(self, theta: np.ndarray) -> Answers:
        """Outputs of each row of theta, shape (B, d) → (B, M), flat in the order of `Outputs`."""
        ...

    def jacobian(self, theta: np.ndarray) -> Answers | None:
        """∂ output / ∂ theta, shape (1, M·d), at one theta (d,); None where the model has no derivatives."""
        ...

    def start(self) -> None:
        """Get ready: evaluations follow soon."""
        ...


@dataclass(frozen=True, slots=True)
class Outputs:
    """Names and shapes of what a model gives; its values travel as one flat vector.

    Attributes:
        shapes: (name, shape) in order.
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, shapes: Mapping[str, int | tuple[int, ...]]) -> Outputs:
        """From a mapping; a length is a shape of one dimension.

        Raises:
            InvalidValue: a name that cannot be stored, or a negative length.
        """
        found = []
        for name, shape in shapes.items():
            sizes = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
            if not str(name).isidentifier():
                raise InvalidValue(f"the output name `{name}` is not an identifier", hint="use letters, digits and _")
            if any(n < 0 for n in sizes):
                raise InvalidValue(f"the output `{name}` has shape {sizes}", hint="lengths are not negative")
            found.append((str(name), sizes))
        return cls(tuple(found))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.shapes)

    @property
    def size(self) -> int:
        """M, the length of the flat vector."""
        return sum(math.prod(shape) for _, shape in self.shapes)

    def shape(self, name: str) -> tuple[int, ...]:
        return dict(self.shapes)[name]

    def place(self, name: str) -> slice:
        """Where an output lies in the flat vector."""
        begin = 0
        for own, shape in self.shapes:
            if own == name:
                return slice(begin, begin + math.prod(shape))
            begin += math.prod(shape)
        raise InvalidValue(f"the model has no output `{name}`", hint=f"it has: {', '.join(self.names)}")
