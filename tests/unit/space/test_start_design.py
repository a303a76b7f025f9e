"""Where the starts of a multi-start lie."""

import math

import numpy as np
import pytest

from campaign.errors import InvalidValue, UnknownName
from campaign.space import Parameter
from campaign.space.priors import Prior
from campaign.space.start_design import start_design

WIDE = Parameter(name="rate", initial=1.0, lower=1e-6, upper=0.5 * 2)
SIGNED = Parameter(name="offset", initial=0.0, lower=-2.0, upper=2.0)
NARROW = Parameter(name="width", initial=2.0, lower=1.0, upper=5.0)
OPEN = Parameter(name="mean", initial=0.0, prior=Prior("normal", (3.0, 0.1)))
LOGIT = Parameter(name="part", initial=0.5, lower=0.0, upper=1.0, transform="logit")


def column(design, name):
    return np.array([point[name] for point in design.points])


def test_a_latin_hypercube_has_one_start_in_each_slice_of_a_logarithm():
    design = start_design([WIDE, SIGNED, NARROW], 24, seed=1)
    assert design.scales == {"rate": "log", "offset": "linear", "width": "linear"}
    slices = np.floor(24 * np.log(column(design, "rate") / 1e-6) / math.log(1e6)).astype(int)
    assert sorted(slices) == list(range(24))
    assert sorted(np.floor(6 * (column(design, "offset") + 2.0)).astype(int)) == list(range(24))
    assert np.median(column(design, "rate")) < 0.01  # uniform in the rate itself it would be 0.5


def test_scales_can_be_asked_for_and_what_was_done_is_said():
    every = start_design([WIDE, SIGNED, NARROW], 4, scale="log")
    assert every.scales == {"rate": "log", "offset": "linear", "width": "log"}
    assert start_design([WIDE], 4, scale="linear").scales == {"rate": "linear"}
    assert start_design([WIDE, NARROW], 4, scale={"width": "log"}).scales == {"rate": "log", "width": "log"}
    drawn = start_design([OPEN], 400, scale="prior", sampler="sobol")
    assert drawn.scales == {"mean": "prior"}
    np.testing.assert_allclose(column(drawn, "mean").mean(), 3.0, atol=0.01)
    np.testing.assert_allclose(column(drawn, "mean").std(), 0.1, rtol=0.05)
    ranged = start_design([OPEN], 8, ranges={"mean": (2.0, 4.0)})
    assert ranged.scales == {"mean": "linear"}
    assert column(ranged, "mean").min() >= 2.0


def test_the_same_seed_gives_the_same_starts_and_a_larger_sobol_design_keeps_them():
    first, again, other = (start_design([WIDE, SIGNED], 8, seed=s) for s in (5, 5, 6))
    assert first.points == again.points != other.points
    short, long = (start_design([WIDE], n, sampler="sobol") for n in (4, 8))
    assert long.points[:4] == short.points


def test_starts_may_be_used():
    points = start_design([LOGIT, WIDE], 64, sampler="sobol").points
    assert all(LOGIT.allows(point["part"]) and WIDE.allows(point["rate"]) for point in points)


@pytest.mark.parametrize(
    ("kind", "match", "given"),
    [
        (InvalidValue, "`mean` has no finite range", {}),
        (InvalidValue, "`offset` has no prior", {"scale": "prior"}),
        (InvalidValue, "`offset` may be -2", {"scale": {"offset": "log"}, "ranges": {"mean": (0.0, 1.0)}}),
        (InvalidValue, "not inside its bounds", {"ranges": {"offset": (-3.0, 1.0)}}),
        (UnknownName, "unknown sampler `lsh`", {"sampler": "lsh"}),
        (UnknownName, "unknown scale `logs`", {"scale": "logs"}),
        (UnknownName, "unknown free parameter `ofset`", {"ranges": {"ofset": (0.0, 1.0)}}),
    ],
)
def test_what_is_wrong_is_said(kind, match, given):
    with pytest.raises(kind, match=match):
        start_design([SIGNED, OPEN], 4, **given)
