"""A bounded arithmetic and comparison grammar over columns: `derive`, `exclude`, `--where`.

    problem.cov_scale > 1.2 and start.H0 in [60, 70]        max(abs(start.a), 1e-3) ** 2

Python's notation, parsed into a syntax tree of which only listed nodes are accepted, evaluated by this module on whole
NumPy columns. Nothing is compiled or executed. Lengths, node counts, exponents and integers are bounded, so that every
expression ends in time proportional to the rows.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.expression.evaluation import evaluate
from campaign.expression.grammar import MAX_LENGTH, check_tree


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Attributes:
        text: as written.
        tree: its checked syntax tree.
        names: the dotted names that it reads, sorted.
    """

    text: str
    tree: ast.expr
    names: tuple[str, ...]

    @staticmethod
    def parse(text: str) -> Expression:
        """Parse and check.

        Raises:
            InvalidValue: not in the grammar, or beyond its bounds.
        """
        if not isinstance(text, str):
            raise InvalidValue(f"an expression is a string, not {text!r}")
        if len(text) > MAX_LENGTH:
            raise InvalidValue(f"the expression has {len(text)} characters; the most is {MAX_LENGTH}")
        if "\0" in text:
            raise InvalidValue("the expression holds a NUL character")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python's hints on odd literals; what is odd is refused below
                tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            where = f" at column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
            reason = getattr(error, "msg", None) or type(error).__name__
            raise InvalidValue(f"`{_short(text)}` is not an expression{where}: {reason}") from None
        return Expression(text, tree, check_tree(tree))

    def evaluate(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """One value a row.

        Args:
            columns: arrays of one length (or scalars) by dotted name. Strings as object arrays; None or NaN where a
                row has no value: comparisons with it are False (`!=` True), arithmetic gives NaN.

        Returns:
            A bool, int64, float64 or object array with one entry a row.

        Raises:
            UnknownName: a name that is not in `columns`.
            InvalidValue: arithmetic on strings, an integer beyond 2^53.
        """
        for name in self.names:
            if name not in columns:
                raise UnknownName(f"unknown name `{name}` in `{_short(self.text)}`", hint=nearest(name, columns))
        n = max((np.shape(v)[0] for v in columns.values() if np.ndim(v)), default=1)
        with np.errstate(all="ignore"):  # 1/0 and log(-1) are inf and NaN; who uses the values checks them
            value = evaluate(self.tree, columns)
        if np.ndim(value) == 0:
            value = np.full(n, value) if not isinstance(value, str) else np.array([value] * n, dtype=object)
        return np.asarray(value)

    def mask(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """`evaluate`, for a condition.

        Raises:
            InvalidValue: the expression gives numbers or strings, not true and false.
        """
        value = self.evaluate(columns)
        if value.dtype != np.bool_:
            raise InvalidValue(f"`{_short(self.text)}` is not a condition: compare with something")
        return value


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
