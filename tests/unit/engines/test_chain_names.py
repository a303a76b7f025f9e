"""What may stand in a manifest as a chain or a schedule."""

import inspect

import jax.numpy as jnp
import optax
import pytest

from campaign.engines.chain_names import ALIASES, SCHEDULES, TRANSFORMS, require_schedule, require_transform
from campaign.engines.chains import schedule_of, transform_of


@pytest.mark.parametrize("name", sorted(TRANSFORMS))
def test_each_transformation_has_these_options(name):
    assert set(TRANSFORMS[name]) <= set(inspect.signature(getattr(optax, name)).parameters)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_each_schedule_has_these_options(name):
    assert set(SCHEDULES[name]) <= set(inspect.signature(getattr(optax, name)).parameters)


def test_aliases_are_transformations():
    assert set(ALIASES.values()) <= TRANSFORMS.keys()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("adamw", "unknown transform"),
        ({"transform": "apply_if_finite"}, "unknown transform"),
        ({"transform": "adam", "b3": 1.0}, "has no option `b3`"),
        ({"transform": "adam", "b1": "0.9"}, "is a number"),
        ({"b1": 0.9}, "is no transform"),
        (3, "is no transform"),
    ],
)
def test_what_is_no_transformation_is_refused(data, said):
    with pytest.raises(ValueError, match=said):
        require_transform(data)


def test_what_is_no_schedule_is_refused():
    with pytest.raises(ValueError, match="unknown schedule `cosine`"):
        require_schedule({"schedule": "cosine"})
    inner = {"schedule": "constant_schedule", "value": 1.0}
    with pytest.raises(ValueError, match="no option"):
        require_schedule({"schedule": "join_schedules", "schedules": [inner, {**inner, "speed": 2}], "boundaries": [3]})


def test_schedules_from_data():
    pieces = schedule_of(
        '{"schedule": "piecewise_constant_schedule", "init_value": 1.0, "boundaries_and_scales": {"3": 0.1}}'
    )
    assert pieces is not None
    assert [round(float(pieces(t)), 6) for t in (0, 4)] == [1.0, 0.1]
    constant = {"schedule": "constant_schedule", "value": 2.0}
    joined = schedule_of(
        {"schedule": "join_schedules", "schedules": [constant, {**constant, "value": 5.0}], "boundaries": [2]}
    )
    assert joined is not None
    assert [float(joined(t)) for t in (1, 2)] == [2.0, 5.0]


def test_a_chain_from_data():
    chain = transform_of(
        '["identity", {"transform": "scale_by_schedule", "step_size_fn": '
        '{"schedule": "constant_schedule", "value": 0.5}}, {"transform": "scale", "step_size": 4.0}]'
    )
    given = jnp.asarray(3.0)
    assert float(chain.update(given, chain.init(given))[0]) == 6.0
