"""What a program declares: arrays, their axes and lengths, and the parameters that its runs have."""

from __future__ import annotations

import dataclasses
import json
import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from campaign.engines.programs import shapes_for
from campaign.errors import InvalidValue
from campaign.problem.base import Problem
from campaign.registry import ENGINES, PROBLEMS, load
from campaign.space import Parameter, ThetaSpace
from campaign.store.trace_policy import TracePolicy
from campaign.work.building import build_block
from campaign.work.declaration import _check_lengths, _stored, description, one_run, trace_spec
from campaign.work.recipe import Recipe

SPACE = ThetaSpace(
    (
        Parameter(name="a", initial=1.0, unit="m", lower=0.0),
        Parameter(name="b", initial=2.0, unit="s", free=False, description="fixed"),
        Parameter(name="c", initial=3.0, unit="m", upper=9.0),
    )
)


class Line(Problem):
    space: ThetaSpace = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    y: jnp.ndarray

    def residuals(self, theta):
        return theta[0] * jnp.arange(4.0) + theta[2] - self.y

    def predict(self, theta):
        return {"curve": jnp.ones((4, 2)) * theta[0], "flags": theta > 0}

    def derived(self, theta):
        return {"sum": theta.sum(), "more": theta[0]}

    def coordinates(self):
        return {"curve": {name: jnp.arange(float(n)) for name, n in zip(self.names, (4, 2))}}

    def units(self):
        return {"curve": "Jy", "time": "d", "sum": "m"}


def made(names=("time", "band"), engine="trf", capacity=4, **options):
    plugin = dataclasses.replace(
        load(PROBLEMS, "decay"), build=lambda _: Line(SPACE, names, jnp.arange(4.0)), build_many=None
    )
    recipe = Recipe(
        problem=plugin, engine=load(ENGINES, engine), problem_options={}, engine_options=options, start={}, scale={},
        free=None, seed=0, capacity=capacity,
    )  # fmt: skip
    (group,) = build_block(recipe, {}, [f"{i:032x}" for i in range(3)], strict=True).groups
    return shapes_for(group.batch), group


def spec(policy=TracePolicy(), *, n_rows=11, capacity=4, **changes):  # noqa: B008
    shapes, group = made(**changes)
    more = {"capacity": capacity, "n_rows": n_rows, "run_ids": lambda: np.array([]), "attributes": {"stage": "s"}}
    return trace_spec(shapes, group, policy, **more)


def test_arrays_over_steps():
    found = spec(max_steps=40)
    loss, theta = found.field("loss"), found.field("theta")
    assert (loss.dims, loss.shape, loss.unit, loss.once) == (("step",), (40,), "", False)
    assert (theta.dims, theta.shape, theta.unit) == (("step", "parameter"), (40, 2), "m")  # both in metres
    assert found.field("covariance").once
    assert list(found.coordinates["parameter"][1]) == ["a", "c"]
    assert list(found.coordinates["parameter_unit"][1]) == ["m", "m"]
    assert "step" not in found.coordinates  # each one is recorded
    assert (found.n_rows, found.block_size) == (11, 4)


def test_what_is_predicted_has_the_axes_that_the_problem_names():
    found = spec(engine="evaluate")
    curve, flags = found.field("curve"), found.field("flags")
    assert (curve.dims, curve.shape, curve.unit, curve.once) == (("time", "band"), (4, 2), "Jy", True)
    assert (flags.dims, flags.dtype) == (("flags_0",), "int8")
    assert found.coordinates["time"][2] == "d"
    assert found.coordinates["band"][2] == ""
    assert list(found.coordinates["band"][1]) == [0.0, 1.0]


def test_some_fields_and_each_third_step():
    found = spec(TracePolicy(fields=frozenset({"loss"}), every=3), max_steps=40)
    over_steps = [field.name for field in found.fields if not field.once]
    assert over_steps == ["loss"]
    assert found.field("loss").shape == (14,)
    assert found.coordinates["step"][1].tolist() == list(range(0, 40, 3))
    nothing = spec(TracePolicy(fields=frozenset(), every=3))
    assert all(field.once for field in nothing.fields)
    assert "step" not in nothing.coordinates  # no array has such an axis


def test_coordinates_have_the_lengths_of_what_is_predicted():
    with pytest.raises(InvalidValue) as caught:
        spec(names=("time",), engine="evaluate")
    assert caught.value.message == "`predict` gives `curve` with shape (4, 2), `coordinates` says {'time': 4}"
    assert caught.value.hint == "name every dimension once, in order, with as many values as it has"
    _check_lengths("curve", (4, 2), {})  # axes by number
    _check_lengths("curve", (2,), {"band": "ab"})
    with pytest.raises(InvalidValue, match=r"says \{'band': 2, 'time': 4\}"):
        _check_lengths("curve", (4, 2), {"band": "ab", "time": "abcd"})


def test_the_shape_of_one_run_has_no_lanes():
    _, group = made()
    one = one_run(group)
    assert one.base.shape == (3,)
    assert one.problem.y.shape == (4,)  # shared by all runs


def test_what_the_reducer_reads_is_json_without_infinities():
    shapes, group = made()
    header = {"problem": {"name": "line"}, "engine": {"name": "trf"}}
    found = description(shapes, group, None, header, ["p_value", "chi2"])
    json.dumps(found, allow_nan=False)
    assert [(p["name"], p["lower"], p["upper"], p["free"]) for p in found["parameters"]] == [
        ("a", 0.0, None, True),
        ("b", None, None, False),
        ("c", None, 9.0, True),
    ]
    assert found["derived"] == {"more": "", "sum": "m"}
    assert found["metrics"] == ["chi2", "p_value"]
    assert found["trace"] == {}
    assert math.isinf(SPACE["b"].upper)


def test_truth_values_are_stored_as_small_integers():
    assert [_stored(np.dtype(name)) for name in ("bool", "int32", "float32")] == ["int8", "int32", "float32"]
