"""The layout of theta: packing, hashes and blocks."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.errors import InvalidValue, UnknownName
from campaign.space.index_map import Entry, IndexMap
from campaign.space.theta import Parameter

NAMES = ["separation", "contrast", *(f"zernike[{i}]" for i in range(3)), "flux"]
UNITS = ["as", "", "nm", "nm", "nm", "ph"]


def of(names=NAMES, units=UNITS, **more):
    return IndexMap.of([Parameter(name=n, initial=0.0, unit=u) for n, u in zip(names, units, strict=True)], **more)


def shapes():
    return st.lists(st.lists(st.integers(1, 3), max_size=3), min_size=1, max_size=6)


@settings(deadline=None)
@given(shapes(), st.integers(0, 2**32 - 1))
def test_unpacking_undoes_packing(shapes, seed):
    entries, start = [], 0
    for i, shape in enumerate(shapes):
        size = int(np.prod(shape, dtype=int))
        entries.append(Entry(name=f"e{i}", start=start, stop=start + size, shape=tuple(shape)))
        start += size
    own = IndexMap(tuple(entries))
    theta = np.random.default_rng(seed).normal(size=len(own))
    np.testing.assert_array_equal(own.pack(own.unpack(theta)), theta)
    assert IndexMap.parse(own.document()["entries"]) == own
    assert len(own.names) == len(own) == start


def test_neighbouring_components_are_one_entry():
    own = of()
    assert [(e.name, e.start, e.stop, e.shape) for e in own.entries] == [
        ("separation", 0, 1, ()), ("contrast", 1, 2, ()), ("zernike", 2, 5, (3,)), ("flux", 5, 6, ()),
    ]  # fmt: skip
    assert own.names == tuple(NAMES)


@pytest.mark.parametrize(
    ("names", "units"),
    [(["z[1]", "z[2]"], ["nm", "nm"]), (["z[0]", "z[2]"], ["nm", "nm"]), (["z[0]", "z[1]"], ["nm", "m"])],
)
def test_what_is_no_whole_vector_of_one_unit_stays_apart(names, units):
    own = of(names, units)
    assert [entry.name for entry in own.entries] == names


def test_the_hash_is_that_of_the_compact_layout():
    text = '[["separation",[]],["contrast",[]],["zernike",[3]],["flux",[]]]'
    assert of().layout_hash == hashlib.sha256(text.encode()).hexdigest()


def test_the_hash_knows_the_order_and_not_the_blocks():
    moved = of(["contrast", "separation", *NAMES[2:]], ["", "as", *UNITS[2:]])
    assert moved.layout_hash != of().layout_hash
    assert of().with_blocks({"flux": "photometry"}).layout_hash == of().layout_hash


def test_one_block_unless_somebody_says_otherwise():
    assert list(of().blocks) == ["theta"]
    own = of(block=lambda name: "photometry" if name in ("contrast", "flux") else "rest")
    np.testing.assert_array_equal(own.blocks["photometry"], [1, 5])  # a block need not be contiguous


def test_squares_of_block_norms_add_up():
    own = of().with_blocks({"contrast": "photometry", "flux": "photometry", "zernike": "wavefront"})
    gradients = np.random.default_rng(1).normal(size=(7, 6))
    norms = own.block_norms(gradients)
    assert set(norms) == {"theta", "photometry", "wavefront"}
    np.testing.assert_allclose(sum(n**2 for n in norms.values()), np.linalg.norm(gradients, axis=1) ** 2, rtol=1e-14)


def test_modes_belong_to_the_block_of_their_largest_loading():
    own = of().with_blocks({"contrast": "photometry", "flux": "photometry", "zernike": "wavefront"})
    loadings = np.zeros((6, 3))
    loadings[[1, 3, 0], [0, 1, 2]] = [0.9, -0.8, 0.7]
    loadings[2, :] = 0.1
    assert IndexMap.of_modes(loadings, own).block_names == ("photometry", "wavefront", "theta")
    with pytest.raises(InvalidValue, match="6 numbers"):
        IndexMap.of_modes(loadings[:5], own)


@pytest.mark.parametrize(
    "entries",
    [
        [Entry(name="a", start=1, stop=2)],
        [Entry(name="a", start=0, stop=1), Entry(name="b", start=2, stop=3)],
        [Entry(name="a", start=0, stop=2, shape=(3,))],
        [Entry(name="a", start=0, stop=1), Entry(name="a", start=1, stop=2)],
    ],
)
def test_entries_that_contradict_each_other(entries):
    with pytest.raises(InvalidValue):
        IndexMap(tuple(entries))


def test_a_mismatch_is_said_before_anything_is_computed():
    own = of()
    whole = {"separation": 1.0, "contrast": 2.0, "zernike": np.zeros(3), "flux": 1.0}
    assert own.pack(whole).shape == (6,)
    with pytest.raises(UnknownName, match="did you mean `flux`"):
        own.pack(whole | {"flx": 1.0})
    with pytest.raises(InvalidValue, match="`flux` has no value"):
        own.pack({name: value for name, value in whole.items() if name != "flux"})
    with pytest.raises(InvalidValue, match=r"`zernike` has shape \[4\], not \[3\]"):
        own.pack(whole | {"zernike": np.zeros(4)})
    with pytest.raises(InvalidValue, match="not 6 numbers"):
        own.unpack(np.zeros(5))
    with pytest.raises(InvalidValue, match="not valid"):
        IndexMap.parse([{"name": "a"}])


def test_nothing_is_nothing():
    assert IndexMap(()).pack({}).shape == (0,)
