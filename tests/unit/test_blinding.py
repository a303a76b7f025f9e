"""Shifts of blinded parameters: the formula by hand, their distribution, and what is refused."""

import hashlib

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from campaign.blinding import Blind, blind_of, checked, key_of, shift
from campaign.cli.main import run

KEY = "0" * 64


def test_the_shift_is_the_hash_of_key_and_name():
    digest = hashlib.sha256(f"{KEY}:H0".encode()).hexdigest()
    assert shift(KEY, "H0", 3.0) == pytest.approx(3.0 * (2.0 * int(digest[:16], 16) / 2.0**64 - 1.0), abs=1e-14)
    assert shift(KEY, "H0", 3.0) != shift(KEY, "Om0", 3.0)


def test_shifts_of_many_keys_are_uniform():
    values = [shift(key_of(f"a phrase, number {k}"), "w0", 0.5) for k in range(2_000)]
    assert stats.kstest(values, stats.uniform(-0.5, 1.0).cdf).pvalue > 1e-3
    names = [shift(KEY, f"p{k}", 1.0) for k in range(2_000)]
    assert stats.kstest(names, stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-3


def test_a_phrase_is_one_whatever_surrounds_it_and_however_its_letters_are_coded():
    assert key_of(" caf\u00e9 au lait\n") == key_of("cafe\u0301 au lait")
    assert key_of("cafe au lait") != key_of("caf\u00e9 au lait")
    with pytest.raises(ValueError, match="at least 8"):
        key_of("short")


def test_only_its_own_phrase_gives_the_shifts():
    blind = Blind(key=key_of("correct horse"), scale={"w0": 0.3, "H0": 3.0})
    assert checked(blind, "correct horse") == {"H0": shift(blind.key, "H0", 3.0), "w0": shift(blind.key, "w0", 0.3)}
    with pytest.raises(ValueError, match="not the phrase"):
        checked(blind, "incorrect horse")
    assert blind_of({"name": "x", "blind": blind.model_dump()}) == blind
    assert blind_of({"name": "x"}) is None


@pytest.mark.parametrize(
    "document",
    [{"key": "abc", "scale": {"H0": 1.0}}, {"key": KEY, "scale": {}}, {"key": KEY, "scale": {"H0": np.inf}}],
)
def test_what_is_no_blinding(document):
    with pytest.raises((ValidationError, ValueError)):
        Blind.model_validate(document)


@pytest.mark.parametrize("text", ["H0", "H0=", "H0=three", "H0=nan", "H0=1e400", "H0=0", "H0=-3", "=3"])
def test_the_command_names_a_scale_that_is_none(text, capsys):
    assert run(["blind", "--phrase", "correct horse", "--scale", text]) == 2
    assert f"--scale {text} is no NAME=SIZE" in capsys.readouterr().err
