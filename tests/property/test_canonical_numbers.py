"""Number texts against the `rfc8785` package; identity does not depend on spelling or order."""

import json

import numpy as np
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from campaign.identity import canonical, number_texts

finite = st.floats(allow_nan=False, allow_infinity=False)
exact = st.integers(-(2**53) + 1, 2**53 - 1)
leaves = st.one_of(st.none(), st.booleans(), exact, finite, st.text(alphabet=st.characters(exclude_categories=["Cs"])))
documents = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text("abcé\n", max_size=3), inner))


@given(arrays.arrays(np.float64, st.integers(0, 30), elements=finite))
def test_doubles(values):
    assert number_texts(values) == [rfc8785.dumps(v) for v in values.tolist()]


@given(st.lists(st.sampled_from([0.0, -0.0, 1e15, 1e16, 1e21, 1e22, 1e-4, 1e-6, 1e-7, 123456789012345680.0, 0.1])))
def test_doubles_at_the_edges_of_notation(values):
    assert number_texts(np.array(values)) == [rfc8785.dumps(v) for v in values]


@given(st.lists(exact))
def test_integers_are_the_texts_of_the_same_doubles(values):
    assert number_texts(np.array(values, dtype=np.int64)) == [rfc8785.dumps(v) for v in values]


@given(documents)
def test_canonical_survives_a_round_trip_and_a_change_of_order(document):
    text = canonical(document)
    assert canonical(json.loads(text, parse_int=_double_beyond_2_53)) == text
    assert canonical(_reversed(document)) == text


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_whole_double_is_the_integer(value):
    assert canonical(float(value)) == canonical(value)


def _double_beyond_2_53(text):
    return int(text) if abs(int(text)) < 2**53 else float(text)


def _reversed(document):
    if isinstance(document, dict):
        return {key: _reversed(value) for key, value in reversed(document.items())}
    return [_reversed(value) for value in document] if isinstance(document, list) else document
