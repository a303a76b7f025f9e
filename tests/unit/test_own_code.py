"""What a user's exception says: its line, and the stack of the user's own code alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from campaign.own_code import told


def fails(_):
    raise ValueError("the detector is off\nand more")


def test_a_plain_exception():
    with pytest.raises(ValueError, match="detector") as caught:
        fails(None)
    found = told(caught.value)
    assert found.message == "ValueError: the detector is off (test_own_code.py:13 in `fails`)"
    assert found.stack.splitlines()[-2:] == ["ValueError: the detector is off", "and more"]


def test_one_that_jax_passes_on_from_a_callback():
    call = jax.jit(lambda x: jax.pure_callback(fails, jax.ShapeDtypeStruct((), jnp.float32), x))
    with pytest.raises(jax.errors.JaxRuntimeError) as caught:
        call(1.0).block_until_ready()
    found = told(caught.value)
    assert found.message == "ValueError: the detector is off (test_own_code.py:13 in `fails`)"
    assert "site-packages" not in found.stack


def test_one_of_ours_keeps_its_words():
    assert told(KeyError("x")).message == "KeyError: 'x'"
    assert told(MemoryError()).message == "MemoryError: no message"
