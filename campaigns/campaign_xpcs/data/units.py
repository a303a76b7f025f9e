"""Lengths and wavevectors with their units, in Å and 1/Å, inside the ranges that experiments have."""

from __future__ import annotations

from campaign.science import InvalidValue, UnknownName, nearest

LENGTHS = {"A": 1.0, "Å": 1.0, "angstrom": 1.0, "nm": 10.0, "um": 1e4, "µm": 1e4, "mm": 1e7}  # in Å
WAVEVECTORS = {"1/A": 1.0, "1/Å": 1.0, "1/angstrom": 1.0, "1/nm": 0.1}  # in 1/Å
GAP_RANGE = (1e3, 1e9)  # Å: 100 nm to 10 cm
Q_RANGE = (1e-5, 1.0)  # 1/Å


def gap_in_angstrom(value: float, unit: str) -> float:
    """A gap between stator and rotor [Å].

    Raises:
        UnknownName: no such unit.
        InvalidValue: outside 100 nm to 10 cm: most likely another unit.
    """
    return _checked("gap", value, unit, LENGTHS, GAP_RANGE, "Å")


def q_in_inverse_angstrom(value: float, unit: str) -> float:
    """A wavevector [1/Å].

    Raises:
        UnknownName: no such unit.
        InvalidValue: outside 1e-5 to 1 / Å: most likely another unit.
    """
    return _checked("q", value, unit, WAVEVECTORS, Q_RANGE, "1/Å")


def _checked(
    name: str, value: float, unit: str, units: dict[str, float], limits: tuple[float, float], own: str
) -> float:
    if unit not in units:
        raise UnknownName(f"unknown unit `{unit}` of {name}", hint=nearest(unit, units))
    found = float(value) * units[unit]
    if not limits[0] <= found <= limits[1]:
        converted = "" if units[unit] == 1.0 else f", that is {found:g} {own}"
        raise InvalidValue(
            f"{name} is {value:g} {own if not converted else unit}{converted}",
            hint=f"valid: {limits[0]:g} to {limits[1]:g} {own}; is the unit right?",
        )
    return found
