"""Specifications, stores, layouts and binders: the vocabulary of the design document."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.errors import InvalidValue, UnknownName
from campaign_optics import (
    IndexMap,
    ParameterStore,
    ParamField,
    ParamSpec,
    binder,
    build_index_map,
    design,
    forward_spec,
    inference_spec,
    pack_params,
    refresh_derived,
    unpack_params,
)

SPEC = inference_spec("testbed")
KEYS = ("binary.contrast", "primary.zernike_coeffs_nm", "binary.separation_as")
BASE = ParameterStore.from_spec_defaults(SPEC)


@settings(deadline=None)  # the first example imports
@given(st.lists(st.lists(st.integers(1, 3), max_size=2), min_size=0, max_size=5), st.integers(0, 2**32 - 1))
def test_unpacking_what_was_packed_gives_it_back(shapes, seed):
    """I-01, for any shapes."""
    rng = np.random.default_rng(seed)
    spec = ParamSpec(tuple(ParamField(key=f"k{i}", shape=tuple(shape)) for i, shape in enumerate(shapes)))
    store = ParameterStore({field.key: rng.normal(size=field.shape) for field in spec})
    layout = build_index_map(spec, spec.keys)
    theta = pack_params(store, layout)
    assert theta.shape == (len(layout),)
    zeros = ParameterStore({field.key: np.zeros(field.shape) for field in spec})
    again = unpack_params(theta, layout, zeros)
    assert all(np.array_equal(again[key], store[key]) for key in spec.keys)


def test_order_changes_the_hash_and_blocks_do_not():
    """I-02; the hash is SHA-256 of compact JSON."""
    layout = build_index_map(SPEC, KEYS)
    text = '[["binary.contrast",[]],["primary.zernike_coeffs_nm",[8]],["binary.separation_as",[]]]'
    assert layout.layout_hash == hashlib.sha256(text.encode()).hexdigest()
    assert build_index_map(SPEC, KEYS[::-1]).layout_hash != layout.layout_hash
    other = layout.with_blocks(lambda name: "x")
    assert other.layout_hash == layout.layout_hash
    assert {name: own.tolist() for name, own in layout.blocks.items()} == {
        "photometry": [0],
        "primary.zernikes": list(range(1, 9)),
        "astrometry": [9],
    }
    assert json.loads(json.dumps(layout.document()))["entries"][1]["shape"] == [8]


def test_what_does_not_fit_is_refused():
    """I-03."""
    layout = build_index_map(SPEC, KEYS)
    with pytest.raises(InvalidValue, match=r"theta has shape \(9,\)"):
        unpack_params(np.zeros(9), layout, BASE)
    with pytest.raises(InvalidValue, match=r"has shape \[2\]"):
        pack_params(BASE.replace({"primary.zernike_coeffs_nm": [1.0, 2.0]}), layout)
    with pytest.raises(InvalidValue, match="appears twice"):
        build_index_map(SPEC, ("binary.contrast", "binary.contrast"))
    with pytest.raises(UnknownName, match=r"no `binary\.contrast`"):
        pack_params(ParameterStore({}), layout)
    with pytest.raises(InvalidValue, match="begin at 0"):
        IndexMap.parse([{"name": "a", "start": 1, "stop": 2}])
    with pytest.raises(InvalidValue, match="is None"):
        BASE.replace({"binary.contrast": None})
    assert pack_params(BASE, build_index_map(SPEC, ())).shape == (0,)


def test_stores_do_not_change():
    other = BASE.replace({"source.separation_as": 4.0})
    assert float(BASE["binary.separation_as"]) == 10.0
    assert float(other["binary.separation_as"]) == 4.0
    with pytest.raises(ValueError, match="read-only"):
        other["primary.zernike_coeffs_nm"][0] = 1.0
    assert "optics.plate_scale_as_per_pix" in other
    with pytest.raises(InvalidValue, match=r"binary\.contrast.* is out of bounds"):
        BASE.replace({"binary.contrast": -1.0}).validate(SPEC)


@pytest.mark.parametrize(("name", "scale", "flux"), [("testbed", 0.355030, 11.336450), ("flight", 0.123207, 11.684201)])
def test_derived_values_follow_from_primitives(name, scale, flux):
    spec = forward_spec(name)
    store = refresh_derived(ParameterStore.from_spec_defaults(spec), spec)
    assert float(store["system.plate_scale_as_per_pix"]) == pytest.approx(scale, abs=5e-7)
    assert float(store["binary.log_flux_total"]) == pytest.approx(flux, abs=5e-7)
    assert spec["binary.log_flux_total"].kind == "derived"
    half = refresh_derived(store.replace({"imaging.exposure_time_s": 900.0}), spec)
    assert float(half["binary.log_flux_total"]) == pytest.approx(flux - np.log10(2.0), abs=5e-7)


def test_a_specification_has_a_hash_of_its_content():
    assert SPEC.spec_hash == inference_spec("testbed").spec_hash != inference_spec("flight").spec_hash


def test_a_binder_is_a_function_of_what_differs():
    small = replace(design("two-plane"), image_pixels=8, pupil_pixels=8, oversample=1, n_wavelengths=1)
    model = binder(small, values={"binary.separation_as": 1.0, "binary.log_flux_total": 4.0})
    image = model()
    assert image.shape == (8, 8)
    brighter = model({"binary.log_flux_total": 5.0})
    assert brighter == pytest.approx(10.0 * image, rel=1e-12)
    assert model.unpack([2.0], ["binary.separation_as"])["binary.separation_as"] == 2.0
    with pytest.raises(UnknownName, match=r"unknown parameter `binary\.flux`"):
        model({"binary.flux": 1.0})
