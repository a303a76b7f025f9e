"""Tables that people bring, as arrays of numbers, with errors that name the row and what stands there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from campaign.science import DataFileError, InvalidValue, nearest
from campaign_climate.model.scm import decimal_year

if TYPE_CHECKING:
    import pandas as pd

_NEEDED, _COLUMNS = ("time", "value"), ("variable", "time", "value", "uncertainty")


def numbers(column: pd.Series, where: str) -> np.ndarray:
    """A column as float64, (n,); dates as decimal years.

    Raises:
        InvalidValue: something in it is neither a number nor missing.
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return np.array([np.nan if pd.isna(time) else decimal_year(time) for time in column])
    found = pd.to_numeric(column, errors="coerce")
    wrong = np.flatnonzero(found.isna() & column.notna())
    if wrong.size:
        text = (
            f"{where}, row {wrong[0] + 1}, column `{column.name}`: {str(column.iloc[wrong[0]])[:40]!r} is not a number"
        )
        raise InvalidValue(text, hint="write numbers with a decimal point; leave out what is missing")
    is_there = found.notna().to_numpy()  # each number as Python reads it: pandas' own is a digit off now and then
    return np.array([float(v) if is_there[i] else np.nan for i, v in enumerate(column.tolist())], np.float64)


def read_variables(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """Variable → column → values, of a CSV file; without a column `variable` all rows are of "Surface Temperature".

    Raises:
        DataFileError: the file cannot be read.
        InvalidValue: a column is missing or of another name, or something in it is not a number.
    """
    import pandas as pd

    name = Path(path).name
    try:
        lines = pd.read_csv(path, comment="#", encoding="utf-8-sig", skipinitialspace=True, header=None, dtype=str)
    except (OSError, ValueError) as error:
        raise DataFileError(f"the file `{path}` cannot be read: {str(error).strip()}") from error
    frame = lines.iloc[1:].reset_index(drop=True)
    frame.columns = [str(column).strip() for column in lines.iloc[0]]
    if twice := [column for column in frame.columns if list(frame.columns).count(column) > 1]:
        raise InvalidValue(f"`{name}` has two columns `{twice[0]}`", hint="rename one of them")
    if missing := [column for column in _NEEDED if column not in frame.columns]:
        raise InvalidValue(f"`{name}` has no column `{missing[0]}`", hint=f"it has: {', '.join(frame.columns)}")
    if unknown := [column for column in frame.columns if column not in _COLUMNS]:
        hint = f"columns are {', '.join(_COLUMNS)}; rename it, or take it out"
        raise InvalidValue(f"`{name}` has a column `{unknown[0]}`, which says nothing here", hint=hint)
    if not len(frame):
        raise InvalidValue(f"`{name}` has names of columns and no data")
    if "variable" not in frame.columns:
        frame["variable"] = "Surface Temperature"
    if (nameless := np.flatnonzero(frame["variable"].isna())).size:
        raise InvalidValue(f"`{name}`, row {nameless[0] + 1}: no variable is named", hint="name one in each row")
    columns = {column: numbers(frame.loc[:, column], f"`{name}`") for column in frame.columns if column != "variable"}
    groups = frame.groupby("variable", sort=False).indices
    return {str(variable): {k: values[rows] for k, values in columns.items()} for variable, rows in groups.items()}


def require_known(what: str, given: Iterable[str], variables: Iterable[str]) -> None:
    """
    Raises:
        InvalidValue: something is given for a variable that the target does not have.
    """
    for name in given:
        if name not in variables:
            raise InvalidValue(f"{what} for `{name}`, which is no variable here", hint=nearest(name, variables))
