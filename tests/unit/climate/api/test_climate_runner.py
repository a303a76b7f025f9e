"""Runners: models that JAX traces and plain Python, a batch against single runs, what may be returned, failures."""

import numpy as np
import pandas as pd
import pytest

from campaign.science import InvalidValue
from campaign_climate import Model, ModelBuilder, ModelRunner, TwoLayerComponent, forcing
from campaign_climate.api.evaluations import Timing
from campaign_climate.api.outputs import read_outputs

NAMES = ("climate_sensitivity", "ocean_heat_uptake")
TIMES = np.arange(2000.0, 2010.0)


def make_model(params):
    return (
        ModelBuilder()
        .with_component(
            TwoLayerComponent(
                climate_sensitivity=params["climate_sensitivity"], ocean_heat_uptake=params["ocean_heat_uptake"]
            )
        )
        .build()
    )


def line(params):
    if params["slope"] > 5:  # plain Python: JAX cannot trace it
        raise RuntimeError("too steep")
    return {"y": {t: params["slope"] * (t - 2000.0) + params["offset"] for t in TIMES}}


@pytest.fixture(scope="module")
def climate():
    return ModelRunner(make_model, ["Surface Temperature", "Ocean Heat Content"], NAMES)


@pytest.fixture(scope="module")
def plain():
    return ModelRunner(line, ["y"], ("slope", "offset"))


def test_a_model_of_components_is_traced_and_its_sensitivity_is_what_was_given(climate):
    assert climate.is_compiled([3.0, 0.7])
    model = make_model({"climate_sensitivity": 3.0, "ocean_heat_uptake": 0.7})
    assert isinstance(model, Model)
    assert float(model.scalars()["ECS"]) == pytest.approx(3.0, rel=1e-14)
    assert float(model.layers.lambda0) == pytest.approx(3.93 / 3.0)
    assert model.solver == "exact"


def test_a_batch_is_its_single_runs(climate):
    rng = np.random.default_rng(0)
    thetas = np.column_stack([rng.uniform(2, 5, 300), rng.uniform(0.4, 1.2, 300)])
    batch = climate.run_batch(thetas)
    assert batch.values["Surface Temperature"].shape == (300, 275)
    assert batch.ok.all()
    for i in (0, 255, 256, 299):
        for name, (at, values) in climate.run(thetas[i]).items():
            np.testing.assert_allclose(batch.values[name][i], values, rtol=1e-12, atol=1e-12)
            np.testing.assert_array_equal(batch.times[name], at)


def test_rows_have_the_same_bits_in_batches_of_any_size(climate):
    thetas = np.random.default_rng(2).uniform([1.5, 0.3], [5.0, 1.5], (1024, 2))
    whole = climate.run_batch(thetas).values
    for size in (1, 7, 64):
        part = climate.run_batch(thetas[300 : 300 + size]).values
        for name, values in part.items():
            np.testing.assert_array_equal(values, whole[name][300 : 300 + size])


def test_one_program_serves_every_number_of_rows(climate):
    for n in (1, 3, 256, 700):
        assert climate.run_batch(np.full((n, 2), [3.0, 0.7])).ok.shape == (n,)
    assert climate._batched._cache_size() == 1
    assert climate.run_batch(np.zeros((0, 2))).values["Surface Temperature"].shape == (0, 275)


def test_plain_python_runs_elsewhere_and_a_failure_is_one_row(plain):
    assert not plain.is_compiled([1.0, 2.0])
    batch = plain.run_batch([[1.0, 2.0], [6.0, 0.0], [0.5, 0.0]])
    np.testing.assert_array_equal(batch.ok, [True, False, True])
    np.testing.assert_allclose(batch.values["y"][[0, 2]], [TIMES - 1998.0, 0.5 * (TIMES - 2000.0)])
    assert np.isnan(batch.values["y"][1]).all()
    with pytest.raises(RuntimeError, match="too steep"):
        plain.run([6.0, 0.0])


def test_theta_of_another_length_is_refused(climate):
    for call, theta in ((climate.run, [1.0]), (climate.run_batch, [[1.0, 2.0, 3.0]]), (climate.run, [[1.0, 2.0]])):
        with pytest.raises(InvalidValue, match="2 parameters"):
            call(theta)
    with pytest.raises(InvalidValue, match="does not know its parameters"):
        ModelRunner(make_model).run([3.0, 0.7])
    with pytest.raises(InvalidValue, match="the fit"):
        climate.with_names(("x",))
    with pytest.raises(InvalidValue, match="not a function"):
        ModelRunner(3)
    with pytest.raises(InvalidValue, match="is a text"):
        ModelRunner(line, "y")


def test_a_runaway_is_an_error_alone_and_a_row_in_a_batch():
    def hot(params):
        own = TwoLayerComponent(lambda0=params["lambda0"], a=0.5)
        return ModelBuilder().with_component(own).with_forcing(np.full(200, 12.0), np.arange(200)).build()

    runner = ModelRunner(hot, ["Surface Temperature"], ("lambda0",))
    assert not runner.run_batch([[1.0], [5.0]]).ok[0]
    assert runner.run_batch([[1.0], [5.0]]).ok[1]
    with pytest.raises(InvalidValue, match="gives `Surface Temperature` = nan"):
        runner.run([1.0])


@pytest.mark.parametrize(
    "found",
    [
        {"y": {2000.0: 1.0, 2001.0: 2.0}},
        {"y": ([2000, 2001], [1.0, 2.0])},
        {"y": pd.Series([1.0, 2.0], index=[2000, 2001])},
        {"y": np.array([1.0, 2.0])},
    ],
)
def test_what_a_factory_may_return(found):
    at, values = read_outputs(found, ("y",), np.array([2000.0, 2001.0]))["y"]
    np.testing.assert_array_equal(at, [2000, 2001])
    np.testing.assert_array_equal(values, [1, 2])


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (3.0, "returned float"),
        ({"x": {1: 1.0}}, "no variable `y`"),
        ({"y": [1.0, 2.0]}, "without times"),
        ({"y": ([1], [1.0, 2.0])}, "1.* times and .*2.* values"),
    ],
)
def test_what_it_may_not(found, message):
    with pytest.raises(InvalidValue, match=message):
        read_outputs(found, ("y",), None)


def test_parameters_that_are_not_read_are_known():
    def factory(params):
        return {"y": {0.0: params["a"]}}

    assert ModelRunner(factory, ["y"], ("a", "b")).unread([1.0, 2.0]) == ("b",)
    assert ModelRunner(lambda params: {"y": {0.0: sum(params.values())}}, ["y"], ("a", "b")).unread([1.0, 2.0]) == ()


class Slow:
    """A model whose construction is most of the work, and which can be changed."""

    def __init__(self, slope):
        self.table = sorted(np.sin(np.arange(20000.0)).tolist())
        self.slope = float(slope)

    def run(self):
        return {"y": (TIMES, self.slope * (TIMES - 2000.0))}


def test_construction_is_measured_apart_and_update_saves_it():
    first = ModelRunner(lambda params: Slow(params["slope"]), ["y"], ("slope",))
    timing = first.timing([1.0])
    assert timing.construction_s > timing.run_s > 0
    assert "ModelRunner(update=" in timing.advice

    def update(model, params):
        model.slope = float(params["slope"])

    second = ModelRunner(lambda params: Slow(params["slope"]), ["y"], ("slope",), update=update)
    assert second.timing([1.0]).construction_s == 0.0
    np.testing.assert_array_equal(
        second.run_batch([[1.0], [2.0]]).values["y"], first.run_batch([[1.0], [2.0]]).values["y"]
    )


def test_advice_is_for_what_is_slow_alone():
    assert Timing(5e-6, 1e-6, False).advice is None
    assert Timing(1e-4, 1.0, False).advice is None
    assert Timing(1e-4, 1e-5, False).advice is not None


def test_components_that_say_two_things_are_refused():
    with pytest.raises(InvalidValue, match="say the same"):
        TwoLayerComponent(climate_sensitivity=3.0, lambda0=1.0)
    with pytest.raises(InvalidValue, match="no component"):
        ModelBuilder().build()
    with pytest.raises(InvalidValue, match="of type dict"):
        ModelBuilder().with_component({})
    with pytest.raises(InvalidValue, match="already"):
        ModelBuilder().with_component(TwoLayerComponent()).with_component(TwoLayerComponent())
    with pytest.raises(InvalidValue, match="without its years"):
        ModelBuilder().with_forcing([1.0, 2.0])
    assert ModelBuilder().with_forcing(forcing("ar6")).forcing.name == "ar6"
    assert ModelBuilder().with_forcing("ssp119").forcing.name == "ssp119"
