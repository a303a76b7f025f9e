"""What a model is calibrated on: observed series with errors, and assessed ranges of single numbers. No JAX."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from campaign.science import InvalidValue, UnknownName, nearest
from campaign_climate.data.observed import observed
from campaign_climate.data.ranges import assessed
from campaign_climate.model.columns import numbers, read_variables, require_known
from campaign_climate.model.observation import Numbers, Observation, observation
from campaign_climate.model.periods import Period, checked_period
from campaign_climate.model.scm import series_of


class Measured(NamedTuple):
    """Times, values relative to their reference period, standard deviations: (T,) each."""

    times: np.ndarray
    values: np.ndarray
    uncertainties: np.ndarray


class Target:
    """Observations and assessed ranges.

    Methods that add return the target itself, so that they can be written one after the other:

        Target().add_variable("Surface Temperature", times, values, sigma).with_reference_period(1850, 1900)

    A fit takes the target as it is when the fit is made.
    """

    def __init__(self) -> None:
        self._observations: dict[str, Observation] = {}
        self._scalars: dict[str, Any] = {}
        self._reference: Period | Mapping[str, Period | None] | None = None

    # -- what is in it ----------------------------------------------------------------------------------------------

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the observed variables, in their order."""
        return tuple(self._observations)

    @property
    def observations(self) -> tuple[Observation, ...]:
        """Observations relative to their reference period.

        Raises:
            InvalidValue: a variable has no data in its period.
        """
        return tuple(own.relative_to(self._period(name)) for name, own in self._observations.items())

    @property
    def scalars(self) -> dict[str, Any]:
        """Distributions of derived numbers by name."""
        return dict(self._scalars)

    def __getitem__(self, variable: str) -> Observation:
        if variable not in self._observations:
            raise UnknownName(f"the target has no `{variable}`", hint=nearest(variable, self._observations))
        return self._observations[variable].relative_to(self._period(variable))

    def items(self) -> list[tuple[str, Measured]]:
        """What a picture shows of each variable."""
        return [(own.variable, Measured(own.times, own.anomalies, own.uncertainties)) for own in self.observations]

    def __len__(self) -> int:
        """Number of values and ranges."""
        return sum(len(own) for own in self._observations.values()) + len(self._scalars)

    def copy(self) -> Target:
        """The same target; adding to one of them does not change the other."""
        other = Target()
        other._observations, other._scalars = dict(self._observations), dict(self._scalars)
        other._reference = self._reference
        return other

    # -- making it --------------------------------------------------------------------------------------------------

    def add_variable(
        self,
        name: str,
        times: Numbers,
        values: Numbers,
        uncertainties: Numbers | float | None = None,
        **errors: Any,
    ) -> Target:
        """Add the observations of a variable. For `errors` see `observation.observation`.

        Raises:
            InvalidValue: the variable is there already, or the arrays do not belong together.
        """
        if name in self._observations:
            raise InvalidValue(f"the target has `{name}` already", hint="give each variable once")
        self._observations[name] = observation(name, times, values, uncertainties, **errors)
        return self

    def add_scalar(self, name: str, distribution: Any) -> Target:
        """Add the distribution of a derived number: ECS, TCR, "Aerosol Forcing".

        Args:
            name: of the number, or of an assessed range with ``distribution="ar6:ecs"``.
            distribution: a `SplitNormal`, a prior, or anything with `log_density`; or the name of a range.
        """
        if isinstance(distribution, str):
            own, distribution = assessed(distribution)
            if own != name:
                raise InvalidValue(f"the range is one of `{own}`, not of `{name}`")
        if name in self._scalars:
            raise InvalidValue(f"the target has `{name}` already", hint="give each number once")
        if not callable(getattr(distribution, "log_density", None)):
            raise InvalidValue(
                f"the distribution of `{name}` is {type(distribution).__name__}, which has no `log_density`",
                hint="SplitNormal.from_quantiles(2, 3, 5), or a prior",
            )
        self._scalars[name] = distribution
        return self

    def add_range(self, name: str) -> Target:
        """Add an assessed range by name: ar6:ecs, ar6:tcr, ar6:aerosol."""
        quantity, distribution = assessed(name)
        return self.add_scalar(quantity, distribution)

    def add_observed(self, name: str, until: float = np.inf, **errors: Any) -> Target:
        """Add a series that comes with the package: gmst:hadcrut5, ohc:igcc2024 …

        Args:
            until: the last year that is used.
            errors: see `observation.observation`; uncertainties are those of the series where it has any.
        """
        own = observed(name)
        used = own.years <= until
        if own.sigma is not None and not {"relative_error", "covariance", "uncertainties"} & errors.keys():
            errors = {"uncertainties": own.sigma[used], **errors}
        return self.add_variable(own.variable, own.years[used], own.values[used], **errors)

    def with_reference_period(self, start: float | Mapping[str, Period | None], end: float | None = None) -> Target:
        """Compare anomalies: the mean of these years is taken from model and observations alike.

        Args:
            start, end: years, both included, for every variable; or a mapping variable → (start, end) or None.

        Raises:
            InvalidValue: the end is before the start, or a name is no variable of the target.
        """
        if isinstance(start, Mapping):
            unknown = [name for name in start if name not in self._observations]
            if unknown:
                raise InvalidValue(
                    f"a reference period for `{unknown[0]}`, which the target does not have",
                    hint=nearest(unknown[0], self._observations),
                )
            for name, period in start.items():
                if period is not None:
                    checked_period(period, name)
            self._reference = dict(start)
        else:
            if end is None:
                raise InvalidValue(
                    "a reference period has a start and an end", hint="with_reference_period(1850, 1900)"
                )
            self._reference = checked_period((start, end), "the target")
        return self

    # -- one value at a time, under the names of rscm ---------------------------------------------------------------

    def add_observation(self, name: str, time: float, value: float, uncertainty: float) -> Target:
        """Add one value to a variable."""
        before = self._observations.get(name)
        if before is None:
            return self.add_variable(name, [time], [value], [uncertainty])
        pairs = ((before.times, time), (before.values, value), (before.uncertainties, uncertainty))
        self._observations[name] = observation(name, *(np.append(*pair) for pair in pairs))
        return self

    def add_observation_relative(self, name: str, time: float, value: float, relative_error: float) -> Target:
        """Add one value with an error that is a fraction of it."""
        return self.add_observation(name, time, value, relative_error * abs(value))

    def set_reference_period(self, name: str, start: float, end: float) -> Target:
        """The reference period of one variable."""
        known = {variable: self._period(variable) for variable in self._observations}
        return self.with_reference_period({**known, name: (start, end)})

    def _period(self, name: str) -> Period | None:
        if isinstance(self._reference, Mapping):
            return self._reference.get(name)
        return self._reference

    # -- from other forms -------------------------------------------------------------------------------------------

    @classmethod
    def from_dataframe(
        cls,
        frame: Any,
        *,
        time_col: str,
        variables: Mapping[str, str],
        uncertainty_col: str | Mapping[str, str] | None = None,
        relative_error: float | None = None,
        floor: float | None = None,
        reference_period: Period | Mapping[str, Period | None] | None = None,
    ) -> Target:
        """A target from a pandas DataFrame with one row a time.

        Args:
            frame: the data.
            time_col: column of the times.
            variables: what the model calls them → their columns.
            uncertainty_col: one column for all variables, or a column for each.
            relative_error, floor: instead of it.

        Raises:
            InvalidValue: a column is missing, or something in it is not a number.
        """
        target = cls()

        def column(name: str) -> np.ndarray:
            if name not in frame.columns:
                raise InvalidValue(
                    f"the frame has no column `{name}`", hint=nearest(str(name), [str(c) for c in frame.columns])
                )
            return numbers(frame[name], "the frame")

        if isinstance(uncertainty_col, Mapping):
            require_known("a column of uncertainties", uncertainty_col, variables)
        for variable, own in variables.items():
            named = uncertainty_col.get(variable) if isinstance(uncertainty_col, Mapping) else uncertainty_col
            sigma = None if named is None else column(named)
            target.add_variable(
                variable, column(time_col), column(own), sigma, relative_error=relative_error, floor=floor
            )
        return target._with(reference_period)

    @classmethod
    def from_file(
        cls, path: str | Path, *, reference_period: Period | Mapping[str, Period | None] | None = None, **errors: Any
    ) -> Target:
        """A target from a CSV file with the columns `variable`, `time`, `value` and, where known, `uncertainty`.

        Without a column `variable` all lines are of "Surface Temperature".

        Raises:
            DataFileError: the file cannot be read.
            InvalidValue: a column is missing or of another name, or something in it is not a number.
        """
        target = cls()
        for variable, own in read_variables(path).items():
            target.add_variable(variable, own["time"], own["value"], own.get("uncertainty"), **errors)
        return target._with(reference_period)

    @classmethod
    def from_scmdata(
        cls,
        run: Any,
        *,
        reference_period: Period | Mapping[str, Period | None] | None = None,
        variables: Mapping[str, str] | None = None,
        uncertainties: Mapping[str, Any] | None = None,
        relative_error: float | None = None,
        floor: float | None = None,
    ) -> Target:
        """A target from an `scmdata.ScmRun`, or from what has its `timeseries()`: rows of variables, columns of times.

        Args:
            run: the observations, one series a variable.
            variables: what the model calls them → what `run` calls them; None takes them as they are.
            uncertainties: variable → σ; scmdata has none. Without them the likelihood must say: relative_error.

        Raises:
            InvalidValue: a variable has more than one series, or uncertainties are given for one that is not there.
        """
        target = cls()
        series = series_of(run, variables)
        require_known("uncertainties", uncertainties or {}, series)
        for variable, (years, values) in series.items():
            sigma = None if uncertainties is None else uncertainties.get(variable)
            target.add_variable(variable, years, values, sigma, relative_error=relative_error, floor=floor)
        return target._with(reference_period)

    def _with(self, reference: Period | Mapping[str, Period | None] | None) -> Target:
        if reference is None or isinstance(reference, Mapping):
            return self if reference is None else self.with_reference_period(reference)
        return self.with_reference_period(*reference)
