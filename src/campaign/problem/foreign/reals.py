"""Numbers that people's models and files give, as float64: nothing is changed on the way without a word."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?|[+-]?(inf|infinity)|nan", re.ASCII | re.IGNORECASE)


def real(text: str) -> float:
    """The number that a text shows, also with Fortran's exponent: ``1.5D3``.

    Python's own `float` would take ``1_2`` and digits of other scripts as well.

    Raises:
        ValueError: it is not a decimal number.
    """
    if _DECIMAL.fullmatch(text.strip()) is None:
        raise ValueError(f"{text[:40]!r} is not a number")
    return float(text.lower().replace("d", "e"))


def real_array(value: Any, what: str) -> np.ndarray:
    """What a model gave as float64.

    Raises:
        TypeError: complex numbers, text, truth values, or numbers of fewer digits.
        ValueError: some values are masked, or missing.
    """
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            n = np.count_nonzero(np.ma.getmaskarray(value))
            raise ValueError(f"the model gave {what} with {n} masked values: what are they?")
        value = value.data
    found = np.asarray(value)
    if found.dtype.kind == "f" and found.dtype.itemsize < 8:
        raise TypeError(
            f"the model gave {what} as {found.dtype}: derivatives are differences, which need the digits of float64; "
            "compute it in float64, or convert it where the lost digits do no harm"
        )
    if found.dtype.kind in "cSUbmMV":
        raise TypeError(f"the model gave {what} of type {found.dtype}, not real numbers")
    if found.dtype.kind == "O" and any(isinstance(one, str | bytes | complex | bool) for one in found.flat):
        raise TypeError(f"the model gave {what} with objects that are not real numbers")
    if found.dtype.kind == "O" and any(one is None for one in found.flat):
        raise ValueError(f"the model gave {what} with missing values (None)")
    return found.astype(np.float64, copy=False)
