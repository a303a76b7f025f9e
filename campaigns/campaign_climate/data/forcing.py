"""Effective radiative forcing by calendar year. No JAX."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from campaign.science import InvalidValue, UnknownName, nearest, read_columns
from campaign_climate.data.tables import names, table

NAMES = names("forcing")
DEFAULT = "igcc2024"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forcing:
    """Forcing of calendar years without a gap.

    Attributes:
        name: of the table or file.
        first_year: the model starts there, in equilibrium.
        total: mean of each year [W m⁻²], (n,).
        aerosol: the part that aerosols have in it, (n,); None where it is not known.
    """

    name: str
    first_year: int
    total: np.ndarray
    aerosol: np.ndarray | None = None

    @property
    def years(self) -> np.ndarray:
        return self.first_year + np.arange(len(self.total))

    def until(self, last_year: int) -> Forcing:
        """The years up to and with `last_year`.

        Raises:
            InvalidValue: there are none such, or the table ends before.
        """
        n = last_year - self.first_year + 1
        if not 1 <= n <= len(self.total):
            raise InvalidValue(
                f"the forcing `{self.name}` has no year {last_year}", hint=f"{self.years[0]} to {self.years[-1]}"
            )
        aerosol = None if self.aerosol is None else self.aerosol[:n]
        return Forcing(name=self.name, first_year=self.first_year, total=self.total[:n], aerosol=aerosol)


def forcing(name: str = DEFAULT) -> Forcing:
    """The forcing of a table: igcc2024, ar6, ssp119, ssp245, ssp585.

    Raises:
        UnknownName: there is none of that name.
    """
    if name not in NAMES:
        raise UnknownName(f"unknown forcing `{name}`", hint=nearest(name, NAMES))
    own = table(f"forcing:{name}").columns
    return from_arrays(own["time"], own["total"], own.get("aerosol"), name=name)


def from_file(path: str | Path) -> Forcing:
    """Forcing from a CSV file with the columns `time` and `total`, one line a year."""
    time, total = read_columns(path, "time", "total")
    return from_arrays(time, total, name=Path(path).name)


def from_arrays(
    times: np.ndarray, total: np.ndarray, aerosol: np.ndarray | None = None, *, name: str = "forcing"
) -> Forcing:
    """Forcing from arrays; stamps anywhere in a year stand for the year.

    Raises:
        InvalidValue: lengths differ, a value is not finite, or years are missing or double.
    """
    times, total = np.asarray(times, np.float64), np.asarray(total, np.float64)
    if times.ndim != 1 or times.shape != total.shape or not times.size:
        raise InvalidValue(f"forcing `{name}`: {times.shape} times and {total.shape} values")
    wrong = np.flatnonzero(~np.isfinite(total) | ~np.isfinite(times))
    if wrong.size:
        raise InvalidValue(f"forcing `{name}`: {total[wrong[0]]} at index {wrong[0]}", hint="every year needs a number")
    years = np.floor(times).astype(int)
    gaps = np.flatnonzero(np.diff(years) != 1)
    if gaps.size:
        raise InvalidValue(
            f"forcing `{name}`: year {years[gaps[0] + 1]} follows {years[gaps[0]]}",
            hint="give one value for each calendar year, in order",
        )
    own = None if aerosol is None else np.asarray(aerosol, np.float64)
    return Forcing(name=name, first_year=int(years[0]), total=total, aerosol=own)
