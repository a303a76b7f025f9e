"""Whatever text comes: a value, or an error of ours. Never an escape, never a hang."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from campaign.errors import CampaignError
from campaign.expression import Expression

COLUMNS = {
    "a": np.array([0.0, -1.5, np.nan]),
    "b": np.array([0, 1, 2**40]),
    "s": np.array(["x", None, "yy"], dtype=object),
    "a.b": np.array([True, False, True]),
}
tokens = st.sampled_from(
    [
        "a",
        "b",
        "s",
        "a.b",
        "0",
        "1",
        "2",
        "9",
        "1e300",
        "-1",
        "3.5",
        "'x'",
        "true",
        "(",
        ")",
        "[",
        "]",
        ",",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "<",
        "<=",
        "==",
        "!=",
        ">",
        "in",
        "not",
        "and",
        "or",
        "is",
        "abs(",
        "max(",
        "min(",
        "log(",
        "exp(",
        "sqrt(",
        "floor(",
        "missing(",
        "__class__",
        ".",
        "lambda",
        ":",
        "for",
        "if",
        "else",
        "import",
        "{}",
        ";",
        "=",
        ":=",
    ]
)


def attempt(text):
    try:
        value = Expression.parse(text).evaluate(COLUMNS)
    except CampaignError:
        return None
    assert value.shape == (3,)
    assert value.dtype.kind in "bifO"
    return value


@settings(max_examples=500)
@given(st.lists(tokens, max_size=25).map(" ".join))
def test_tokens_in_any_order(text):
    attempt(text)


@settings(max_examples=300)
@given(st.text(max_size=60))
def test_any_text(text):
    attempt(text)


numbers = st.integers(-20, 20).map(str) | st.floats(-20, 20).map(repr)
arithmetic = st.recursive(
    numbers,
    lambda e: st.tuples(e, st.sampled_from(["+", "-", "*"]), e).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
    max_leaves=8,
)


@given(arithmetic)
def test_arithmetic_agrees_with_python(text):
    value = attempt(text)
    expected = eval(text, {"__builtins__": {}})  # the test's own text: digits, signs and brackets only
    if value is None:
        assert abs(expected) > 2**50
    else:
        assert math.isclose(value[0], expected, rel_tol=1e-12, abs_tol=1e-12)
