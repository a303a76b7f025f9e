"""Pictures of a chain by name: what `chain.plot` gives. Each makes a figure; the drawing itself is in `figures`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from campaign.analysis.chain import Chain
from campaign.diagnostics import autocorrelation_time
from campaign.errors import InvalidValue, UnknownName, nearest
from campaign.report import chains, figures
from campaign.report.canvas import COLOURS, GREY, grid_of, new_figure, plain, shape_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CORNER = 10  # parameters of a corner that are drawn where none are named
MAX_ROWS = 2000  # rows of a trace that are drawn
_LONG = 24  # characters of a label that goes on two lines
_PER_INCH = 12  # characters of a title


class Observed(Protocol):
    """What was measured of one variable: times, values and their standard deviations, (T,) each."""

    @property
    def times(self) -> Any: ...

    @property
    def values(self) -> Any: ...

    @property
    def uncertainties(self) -> Any: ...


class Items(Protocol):
    """What was measured, variable by variable."""

    def items(self) -> Iterable[tuple[str, Observed]]: ...


class Predictor(Protocol):
    """A model that predicts what was observed, given as a whole."""

    def predictions(self, theta: np.ndarray, names: Sequence[str], observed: Any) -> Mapping[str, Any]:
        """variable → (n, T) at the times of `observed`, for theta (n, d) in the order of `names`."""
        ...


@dataclass(frozen=True)
class ChainPlots:
    """Figures of a chain.

    `discard` counts sampler steps, as everywhere; `names` chooses parameters, all when None.

    Attributes:
        chain: what is drawn.
    """

    chain: Chain

    def trace(self, discard: int | None = None, names: Sequence[str] | None = None) -> Figure:
        """Each parameter over sampler steps: median and bands of the walkers; what is discarded is grey."""
        chain, chosen = self.chain, self._chosen(names)
        first, stride = chain.first_row(discard), max(1, -(-len(chain) // MAX_ROWS))
        draws = np.asarray(chain.samples[::stride], np.float64)
        mean, covariance = chain.moments(discard)
        figure, places = _grid(len(chosen), (4.6, 2.4), columns=2 if len(chosen) % 3 else 3)
        for axes, i in zip(places, chosen, strict=True):
            chains.quantile_bands(
                axes,
                self._steps[::stride],
                draws[:, :, i],
                name=chain.names[i],
                unit=self._unit(i),
                n_burn_in=-(-first // stride),
                estimate=(float(mean[i]), float(np.sqrt(covariance[i, i]))),
            )
        return _wrapped(figure)

    def corner(
        self, discard: int | None = None, names: Sequence[str] | None = None, truth: Mapping[str, float] | None = None
    ) -> Figure:
        """Every parameter against every other, with contours around 68 and 95 %; `truth` marks values by name."""
        chosen = self._chosen(names)
        shown = chosen if names is not None else chosen[:MAX_CORNER]
        draws, _ = self.chain.judged_draws(discard)
        flat = draws.reshape(-1, draws.shape[2])[:, shown]
        side = 1.9 * len(shown) + 1.0
        figure = new_figure((side, side))
        chains.corner(
            figure,
            flat,
            [self.chain.names[i] for i in shown],
            [self._unit(i) for i in shown],
            estimates=list(zip(flat.mean(axis=0).tolist(), flat.std(axis=0, ddof=1).tolist(), strict=True)),
            truth=None if truth is None else [truth.get(self.chain.names[i], np.nan) for i in shown],
        )
        if len(shown) < len(chosen):
            figure.suptitle(f"the first {len(shown)} of {len(chosen)} parameters", fontsize=9)
        return _wrapped(figure)

    def autocorr(self, discard: int | None = None, names: Sequence[str] | None = None) -> Figure:
        """Autocorrelation of each parameter over lags, averaged over the walkers."""
        chosen = self._chosen(names)
        draws, stride = self.chain.judged_draws(discard)
        figure, places = _grid(len(chosen), (3.0, 2.4))
        for axes, i in zip(places, chosen, strict=True):
            chains.autocorr(axes, draws[:, :, i], name=self.chain.names[i])
            _in_sampler_steps(axes, draws[:, :, i], self.chain.names[i], stride * self.chain.thin)
        places[0].legend(frameon=False, fontsize=8)
        return _wrapped(figure)

    def acceptance(self, discard: int | None = None) -> Figure:
        """Fraction of accepted proposals over sampler steps, and of each walker where that is known."""
        chain, first = self.chain, self.chain.first_row(discard)
        if chain.accepted is None:
            raise InvalidValue("the chain does not say what was accepted", hint="record the array `accepted`")
        accepted = np.asarray(chain.accepted[:], np.float64)
        by_walker = accepted.ndim == 2
        figure, places = _grid(1 + by_walker, (4.0, 2.8))
        over_steps = accepted.mean(axis=1) if by_walker else accepted
        chains.acceptance(places[0], self._steps, over_steps, n_burn_in=first)
        if by_walker:
            each = accepted[first:].mean(axis=0)
            places[1].axhline(float(each.mean()), color=GREY, lw=0.8)
            places[1].plot(np.arange(len(each)), each, "o", color=COLOURS[0], ms=4)
            places[1].set_title(f"from {each.min():.3f} to {each.max():.3f}", fontsize=9)
            places[1].set(xlabel="walker", ylabel="accepted proposals", ylim=(0, 1))
        return _wrapped(figure)

    def rank(self, discard: int | None = None, names: Sequence[str] | None = None) -> Figure:
        """Rank histograms of the walkers: flat where all sample one distribution."""
        chosen = self._chosen(names)
        draws, _ = self.chain.judged_draws(discard)
        figure, places = _grid(len(chosen), (3.0, 2.6), room=0.4)
        for axes, i in zip(places, chosen, strict=True):
            chains.rank(axes, draws[:, :, i], name=self.chain.names[i])
        handles = places[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside upper center", ncols=2, frameon=False, fontsize=8)
        return _wrapped(figure)

    def posterior_predictive(
        self,
        predict: Callable[[np.ndarray], Mapping[str, Any]] | Predictor,
        observed: Mapping[str, Observed] | Items,
        n_samples: int = 100,
        discard: int | None = None,
        *,
        noise: bool = False,
        seed: int = 0,
    ) -> Figure:
        """Predictions of some draws, median and 5 – 95 %, with what was observed; a drawing a variable.

        Args:
            predict: theta (n, d) → variable → (n, T) at the times of `observed`; rows that are not finite are failed
                evaluations, and left out. Or a `Predictor`.
            observed: variable → times, values and uncertainties.
            noise: add the observations' errors to the predictions. Then 90 % of the data should be in the band.

        Raises:
            InvalidValue: no prediction is finite.
        """
        draws = self.chain.subsample(n_samples, seed, discard)
        if callable(predict):
            predictions = predict(draws)
        else:
            predictions = predict.predictions(draws, self.chain.names, observed)
        generator = np.random.default_rng(seed)
        variables = list(observed.items())
        figure, places = _grid(len(variables), (5.2, 3.2), columns=2)
        for axes, (variable, data) in zip(places, variables, strict=True):
            drawn = np.asarray(predictions[variable], np.float64)
            drawn = drawn[np.isfinite(drawn).all(axis=1)]
            if not len(drawn):
                raise InvalidValue(f"no prediction of `{variable}` is finite", hint="the model failed for every draw")
            sigma = np.asarray(data.uncertainties, np.float64)
            if noise:
                drawn = drawn + sigma * generator.normal(size=drawn.shape)
            times, values = np.asarray(data.times, np.float64), np.asarray(data.values, np.float64)
            figures.posterior_predictive(axes, times, drawn, values, sigma, x_label="time", y_label=variable)
            axes.lines[0].set_zorder(4)  # the median stays visible among many data
        return _wrapped(figure)

    def _chosen(self, names: Sequence[str] | None) -> list[int]:
        known = self.chain.names
        for name in names or ():
            if name not in known:
                raise UnknownName(f"unknown parameter `{name}`", hint=nearest(name, known))
        return list(range(len(known))) if names is None else [known.index(name) for name in names]

    def _unit(self, i: int) -> str:
        return self.chain.units[i] if i < len(self.chain.units) else ""

    @property
    def _steps(self) -> np.ndarray:
        """Sampler steps of the rows."""
        return self.chain.thin * np.arange(1, len(self.chain) + 1)


def _grid(n: int, size: tuple[float, float], columns: int = 3, room: float = 0.0) -> tuple[Figure, list[Axes]]:
    """A figure of n drawings of some width and height [inches], with room above."""
    rows, across = shape_of(n, columns)
    figure = new_figure((size[0] * across, size[1] * rows + room))
    return figure, grid_of(figure, n, columns=columns)


def _wrapped(figure: Figure) -> Figure:
    """The figure with long labels and titles on two lines, so that they stay within their drawing."""
    for axes in figure.axes:
        place = axes.get_gridspec()
        across = 1 if place is None else place.ncols
        room = {axes.xaxis.label: _LONG, axes.yaxis.label: _LONG}
        for text, most in (room | {axes.title: int(_PER_INCH * figure.get_figwidth() / across)}).items():
            words = text.get_text()
            mark = next((mark for mark in (" [", ": ", " =") if mark in words), None)
            if len(words) > most and mark is not None:
                text.set_text(words.replace(mark, f"\n{mark.strip(' :')}", 1))
    return figure


def _in_sampler_steps(axes: Axes, draws: np.ndarray, name: str, factor: int) -> None:
    """Lags and τ of an autocorrelation in sampler steps, of which there are `factor` between two draws."""
    if factor == 1:
        return
    for line in axes.lines[1:]:  # the first is the zero line
        line.set_xdata(factor * np.asarray(line.get_xdata()))
    axes.set_xlim(0, factor * axes.get_xlim()[1])
    axes.set_title(plain(f"{name}: τ = {factor * autocorrelation_time(draws):.3g} steps"), fontsize=9)
