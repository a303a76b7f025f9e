"""Pictures of a chain: one axes a parameter, and what is drawn is the chain."""

import sys
from dataclasses import dataclass

import numpy as np
import pytest

from campaign.analysis.chain import Chain
from campaign.errors import InvalidValue, UnknownName
from campaign.report.canvas import png

RANDOM = np.random.default_rng(3)
NAMES, UNITS = ("a", "b", "heat_capacity_surface"), ("m", "", "W yr m-2 K-1")


@dataclass
class Measured:
    times: np.ndarray
    values: np.ndarray
    uncertainties: np.ndarray


def chain_of(n=200, walkers=6, **more):
    draws = RANDOM.normal(size=(n, walkers, 3))
    return Chain(samples=draws, log_probs=np.zeros((n, walkers)), names=NAMES, units=UNITS, **more)


def test_a_trace_is_the_chain():
    chain = chain_of(thin=10)
    figure = chain.plot.trace(discard=500)
    assert len(figure.axes) == 3
    for i, axes in enumerate(figure.axes):
        line = axes.lines[0]
        np.testing.assert_array_equal(line.get_xdata(), 10 * np.arange(1, 201))
        np.testing.assert_array_equal(line.get_ydata(), np.median(chain.samples[:, :, i], axis=1))
    assert figure.axes[0].get_ylabel() == "a [m]"
    assert figure.axes[2].get_ylabel() == "heat_capacity_surface\n[W yr m-2 K-1]"
    assert figure.axes[2].get_title().startswith("heat_capacity_surface = ")
    assert png(figure)
    assert "matplotlib.pyplot" not in sys.modules


def test_a_corner_has_a_place_a_pair_and_marks_the_truth():
    figure = chain_of().plot.corner(names=["a", "b"], truth={"b": 0.25})
    assert len(figure.axes) == 3
    assert [line.get_ydata()[0] for line in figure.axes[1].lines if len(set(line.get_ydata())) == 1][:1] == [0.25]
    with pytest.raises(UnknownName, match="unknown parameter `c`"):
        chain_of().plot.corner(names=["c"])
    titles = [axes.get_title() for axes in chain_of().plot.corner().axes]
    assert any(
        title.startswith("heat_capacity_surface\n= ") for title in titles
    )  # too long for a narrow place: two lines, no more
    assert all(title.count("\n") <= 1 for title in titles)


def test_autocorrelation_is_over_sampler_steps():
    chain = chain_of(400, thin=7)
    axes = chain.plot.autocorr(names=["a"]).axes[0]
    measured = axes.lines[1]
    np.testing.assert_array_equal(measured.get_xdata()[:3], [0, 7, 14])
    tau = float(axes.get_title().removeprefix("a: τ = ").removesuffix(" steps"))
    assert tau == pytest.approx(7.0, rel=0.3)


def test_acceptance_over_steps_and_by_walker():
    accepted = np.linspace(0.2, 0.6, 6) + np.zeros((200, 1))
    over_steps, by_walker = chain_of(accepted=accepted).plot.acceptance().axes
    assert over_steps.get_title() == "acceptance = 0.400"
    np.testing.assert_allclose(by_walker.lines[1].get_ydata(), np.linspace(0.2, 0.6, 6))
    assert by_walker.get_title() == "from 0.200 to 0.600"
    assert len(chain_of(accepted=accepted[:, 0]).plot.acceptance().axes) == 1
    with pytest.raises(InvalidValue, match="does not say what was accepted"):
        chain_of().plot.acceptance()


def test_ranks_have_a_line_a_walker():
    figure = chain_of().plot.rank()
    assert [len(axes.patches) for axes in figure.axes] == [6 + 1] * 3  # and the band


def test_predictions_with_noise_cover_ninety_percent_of_the_data():
    """Draws of the level a = 1 ± 0.01; data around 1 with an error of 0.1."""
    draws = 1.0 + 0.01 * RANDOM.normal(size=(500, 8, 1))
    chain = Chain(samples=draws, log_probs=np.zeros((500, 8)), names=("a",))
    at = np.arange(300.0)
    observed = {"level": Measured(at, 1.0 + 0.1 * RANDOM.normal(size=300), np.full(300, 0.1))}

    def predict(theta):
        found = theta[:, :1] + 0.0 * at
        found[3] = np.nan  # a failed evaluation
        return {"level": found}

    axes = chain.plot.posterior_predictive(predict, observed, n_samples=400, noise=True).axes[0]
    assert float(axes.get_title().split(" ")[0]) == pytest.approx(90, abs=5)
    narrow = chain.plot.posterior_predictive(predict, observed, n_samples=400).axes[0]
    np.testing.assert_allclose(narrow.lines[0].get_ydata(), 1.0, atol=0.003)
    assert float(narrow.get_title().split(" ")[0]) < 30
    with pytest.raises(InvalidValue, match="no prediction of `level` is finite"):
        chain.plot.posterior_predictive(lambda theta: {"level": np.nan * theta}, observed)
