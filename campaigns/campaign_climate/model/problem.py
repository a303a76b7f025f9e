"""The calibration of the two-layer model as a problem that `campaign` runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from campaign.science import InvalidValue, Problem, ThetaSpace
from campaign_climate.data.forcing import Forcing
from campaign_climate.data.observed import REFERENCE
from campaign_climate.data.ranges import SplitNormal
from campaign_climate.model import options as option_models
from campaign_climate.model.compared import Compared, positions, require_outputs
from campaign_climate.model.likelihood import GaussianLikelihood, total
from campaign_climate.model.metrics import identifier, metrics
from campaign_climate.model.sums import ordered_sum
from campaign_climate.model.synthetic import synthetic_values
from campaign_climate.model.target import Target
from campaign_climate.model.two_layer import TwoLayerModel
from campaign_climate.physics.layers import Layers

WARMING = {
    "warming_1995_2014": ((1995, 2014), (1850, 1900)),
    "warming_2081_2100": ((2081, 2100), (1850, 1900)),
}  # derived number → the years whose mean it is, and those it is relative to: the periods of IPCC AR6


class Setting(eqx.Module):
    """What is given besides theta: forcing, and how the model is solved. See `TwoLayerModel`."""

    forcing: Float[Array, " n"]
    aerosol: Float[Array, " n"] | None
    first_year: int = eqx.field(static=True)
    solver: str = eqx.field(static=True)
    steps_per_year: int = eqx.field(static=True)
    ocean_fraction: float = eqx.field(static=True)

    @classmethod
    def of(cls, own: Forcing, solver: str, steps_per_year: int, ocean_fraction: float) -> Setting:
        return cls(
            forcing=jnp.asarray(own.total),
            aerosol=None if own.aerosol is None else jnp.asarray(own.aerosol),
            first_year=own.first_year,
            solver=solver,
            steps_per_year=steps_per_year,
            ocean_fraction=ocean_fraction,
        )

    def model(self, values: dict[str, Float[Array, ""]]) -> TwoLayerModel:
        """The model at parameters by name; `a` is 0 where there is none, aerosols are scaled."""
        zero = jnp.zeros_like(values["lambda0"])
        forcing, aerosol = self.forcing, self.aerosol
        if aerosol is not None:
            scale = values["aerosol_scale"]
            forcing, aerosol = forcing + (scale - 1.0) * aerosol, scale * aerosol
        return TwoLayerModel(
            layers=Layers(**{name: values.get(name, zero) for name in Layers._fields}),
            f2x=values["f2x"],
            forcing=forcing,
            aerosol=aerosol,
            first_year=self.first_year,
            solver=self.solver,
            steps_per_year=self.steps_per_year,
            ocean_fraction=self.ocean_fraction,
        )


class TwoLayer(Problem):
    """What both problems of the two-layer model have in common: the model at theta, and its predictions."""

    setting: Setting
    space: ThetaSpace = eqx.field(static=True)
    outputs: tuple[str, ...] = eqx.field(static=True)

    def model(self, theta: Float[Array, " d"]) -> TwoLayerModel:
        """The model at theta."""
        return self.setting.model({name: theta[i] for i, name in enumerate(self.space.names)})

    def predict(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        series = self.model(theta).series()
        return {name: series[name] for name in self.outputs}

    def coordinates(self) -> dict[str, dict[str, Array]]:
        years = self.setting.first_year + jnp.arange(self.setting.forcing.shape[-1])
        return {name: {"year": years} for name in self.outputs}

    def units(self) -> dict[str, str]:
        return TwoLayerModel.SERIES | {identifier(name): unit for name, unit in TwoLayerModel.SCALARS.items()}


class TwoLayerPredictions(TwoLayer):
    """The two-layer model without data: series and derived numbers."""

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        model = self.model(theta)
        return _numbers(model, model.series())


class TwoLayerProblem(TwoLayer):
    """The two-layer model against observed series and assessed ranges.

    Residuals are those of the variables one after the other, in units of their errors and without correlation, then
    one for each range. ln L = −½ r·r, with the norms of the densities where that is asked for.

    Attributes:
        compared: observations with errors, one entry a variable.
        places: where their times are in the model's series.
        ranges: distributions of derived numbers by name. Static.
        normalize: static.
    """

    compared: tuple[Compared, ...]
    places: tuple[Int[Array, " n"], ...]
    ranges: tuple[tuple[str, SplitNormal], ...] = eqx.field(static=True)
    normalize: bool = eqx.field(static=True)

    def residuals(self, theta: Float[Array, " d"]) -> Float[Array, " N"]:
        model = self.model(theta)
        return self._residuals(self._observed(model, model.series()))

    def log_likelihood(self, theta: Float[Array, " d"]) -> Float[Array, ""]:
        model = self.model(theta)
        return total(self._observed(model, model.series()), self.compared, dict(self.ranges), self.normalize)

    def derived(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """ECS, TCR, aerosol forcing, warming, chi2, and for each variable rmse, bias, mae, r2, chi2_per_n."""
        model = self.model(theta)
        series = model.series()
        values = self._observed(model, series)
        r = self._residuals(values)
        out = _numbers(model, series) | {"chi2": ordered_sum(r * r)}
        for one in self.compared:
            for name, value in metrics(one, values[one.variable]).items():
                out[f"{name}_{identifier(one.variable)}"] = value
        return out

    def at_observations(self, theta: Float[Array, " d"]) -> dict[str, Array]:
        """Model values at the observed times by variable."""
        model = self.model(theta)
        return self._observed(model, model.series())

    def _observed(self, model: TwoLayerModel, series: dict[str, Array]) -> dict[str, Array]:
        """Model values at the observed times by variable, and derived numbers by name."""
        values = {one.variable: series[one.variable][at] for one, at in zip(self.compared, self.places, strict=True)}
        return values | (model.scalars() if self.ranges else {})

    def _residuals(self, values: dict[str, Array]) -> Float[Array, " N"]:
        parts = [one.residuals(values[one.variable]) for one in self.compared]
        return jnp.concatenate([*parts, *(own.residual(values[name])[None] for name, own in self.ranges)])


def _numbers(model: TwoLayerModel, series: dict[str, Array]) -> dict[str, Array]:
    """Derived numbers under the names of the table: ecs, tcr, aerosol_forcing, warming_2081_2100 where there are."""
    out = {identifier(name): value for name, value in model.scalars().items()}
    for name, (now, before) in WARMING.items():
        if before[0] >= model.times[0] and now[1] <= model.times[-1]:
            surface = series["Surface Temperature"]
            late, early = (surface[a - model.first_year : b + 1 - model.first_year] for a, b in (now, before))
            out[name] = jnp.mean(late) - jnp.mean(early)
    return out


def target_of(options: option_models.TwoLayerOptions) -> Target:
    """What a manifest compares the model with.

    Raises:
        InvalidValue, DataFileError: an option for a variable that is not observed, a file that cannot be read.
    """
    until = np.inf if options.until is None else options.until
    found = Target()
    pieces = [Target().add_observed(name, until) for name in options.observations]
    pieces += [Target.from_file(path) for path in options.observation_files]
    for piece in pieces:
        for name in piece.variables:
            own = piece[name]
            used = own.times <= until
            found.add_variable(
                name,
                own.times[used],
                own.values[used],
                None if np.isnan(own.uncertainties).all() else own.uncertainties[used],
                extra_sigma=options.extra_sigma.get(name, 0.0),
                rho=options.rho.get(name, 0.0),
                weights=options.weights.get(name, 1.0),
            )
    for option in ("reference", "extra_sigma", "rho", "weights"):
        require_outputs(tuple(getattr(options, option)), found.variables or ("none",), f"`{option}` variable")
    for name in options.ranges:
        found.add_range(name)
    periods = {name: REFERENCE.get(name) for name in found.variables}
    periods |= {name: None if p is None else (p[0], p[1]) for name, p in options.reference.items()}
    return found.with_reference_period(periods)


def build(options: option_models.TwoLayerOptions) -> TwoLayerPredictions | TwoLayerProblem:
    """The problem of one run.

    Raises:
        InvalidValue: observations beyond the forcing, without errors, or of what the model does not give.
    """
    setting = Setting.of(
        option_models.own_forcing(options), options.solver, options.steps_per_year, options.ocean_fraction
    )
    require_outputs(tuple(options.outputs), TwoLayerModel.SERIES, "series")
    space, outputs = option_models.space(options), tuple(options.outputs)
    target = target_of(options)
    if not len(target):
        return TwoLayerPredictions(setting=setting, space=space, outputs=outputs)
    require_outputs(target.variables, TwoLayerModel.SERIES)
    likelihood = GaussianLikelihood(
        relative_error=options.relative_error,
        combine=options.combine,
        floor=options.floor,
        normalize=options.normalize,
    )
    years = setting.first_year + np.arange(len(setting.forcing))
    ranges = tuple(target.scalars.items())
    if setting.aerosol is None and "Aerosol Forcing" in target.scalars:
        raise InvalidValue(
            f"the forcing `{options.forcing}` does not tell aerosols apart", hint="leave out ar6:aerosol"
        )
    found = TwoLayerProblem(
        setting=setting,
        space=space,
        outputs=outputs,
        compared=likelihood.compared(target),
        places=tuple(jnp.asarray(positions(own, years)) for own in target.observations),
        ranges=ranges,
        normalize=options.normalize,
    )
    return _on_data(found, np.array([options.synthetic]), lambda values: values[0]) if options.synthetic else found


def build_many(
    options: option_models.TwoLayerOptions, columns: Mapping[str, np.ndarray]
) -> TwoLayerPredictions | TwoLayerProblem:
    """The problems of many runs as one: the observed values vary, (n, N) for each variable."""
    one = build(options.model_copy(update={"synthetic": 0}))
    numbers = np.asarray(columns["synthetic"])
    if isinstance(one, TwoLayerPredictions):
        return one
    return _on_data(one, numbers, lambda values: values)


def _on_data(
    problem: TwoLayerProblem, numbers: np.ndarray, chosen: Callable[[np.ndarray], np.ndarray]
) -> TwoLayerProblem:
    """The problem on data sets by number; 0 is what was observed."""
    made = synthetic_values(problem.space, problem.compared, problem.at_observations, np.maximum(numbers, 1))
    values = [
        chosen(np.where(numbers[:, None] > 0, own, one.values)) for own, one in zip(made, problem.compared, strict=True)
    ]
    return eqx.tree_at(lambda p: [one.values for one in p.compared], problem, values)
