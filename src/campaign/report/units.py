"""Readable units: a metric prefix for which the numbers lie between 1 and 1000."""

from __future__ import annotations

import numpy as np

BASES = frozenset(
    {"m", "s", "g", "Hz", "V", "A", "W", "J", "K", "N", "Pa", "eV", "rad", "as", "pc", "T", "F", "Ω", "e"}
)
PREFIXES = {"p": -12, "n": -9, "µ": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9}
_SMALL_ONLY = frozenset({"as", "rad", "e"})  # nobody writes kas


ENDINGS = {  # of names → unit, as ``separation_as``, ``plate_scale_as_per_pix``
    "_as_per_pix": "as/pix",
    "_per_pix": "1/pix",
    "_uas": "µas",
    "_mas": "mas",
    "_as": "as",
    "_deg": "deg",
    "_nm": "nm",
    "_ppm": "ppm",
    "_m": "m",
    "_s": "s",
    "_e": "e",
}


def unit_in_name(name: str) -> str:
    """The unit that a name ends with, components such as ``[3]`` left out; "" where it ends with none."""
    text = name.partition("[")[0]
    return next((unit for ending, unit in ENDINGS.items() if text.endswith(ending)), "")


def split(unit: str) -> tuple[str, str] | None:
    """Prefix and base of a unit such as "mas" or "km"; None for any other ("km/s", "deg", "ppm", "")."""
    text = unit.replace("μ", "µ")
    if text[:1] == "u" and text[1:] in BASES:
        text = f"µ{text[1:]}"
    if text in BASES:
        return "", text
    if text[:1] in PREFIXES and text[1:] in BASES:
        return text[:1], text[1:]
    return None


def readable(values: np.ndarray, unit: str) -> tuple[float, str]:
    """Factor and unit with which the largest of some values lies in [1, 1000).

    Values and label are both to be changed by it: ``values * factor`` are in the unit that is given back. Units that
    are none of `BASES` with a prefix, and values without a finite number other than 0, keep their unit.
    """
    parts = split(unit)
    finite = np.abs(np.asarray(values, np.float64))
    finite = finite[np.isfinite(finite)]
    if parts is None or not finite.size or not finite.max() > 0:
        return 1.0, unit
    prefix, base = parts
    power = PREFIXES[prefix]
    wanted = 3 * int(np.floor((np.log10(finite.max()) + power) / 3 + 1e-12))
    top = 0 if base in _SMALL_ONLY else max(PREFIXES.values())
    wanted = int(np.clip(wanted, min(PREFIXES.values()), max(top, 0)))
    name = next(key for key, value in PREFIXES.items() if value == wanted)
    return 10.0 ** (power - wanted), name + base


def to_unit(unit: str, wanted: str) -> float | None:
    """Factor from one unit to another of the same base; None where there is none."""
    one, other = split(unit), split(wanted)
    if one is None or other is None or one[1] != other[1]:
        return 1.0 if unit == wanted else None
    return 10.0 ** (PREFIXES[one[0]] - PREFIXES[other[0]])
