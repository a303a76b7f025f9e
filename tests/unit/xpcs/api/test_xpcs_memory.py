"""Memory of the machine and of a fit: the document's numbers, clamps, and limits of a cgroup."""

import builtins

import pytest

from campaign.science import InvalidValue
from campaign_xpcs.api import memory


def test_the_example_of_the_document():
    assert memory.peak_memory_document(23_000_000, 53) == pytest.approx(23e6 * 53 * 8 * 6.5 / 1e9, rel=1e-15)
    assert memory.peak_memory_document(23_000_000, 53) == pytest.approx(63.4, abs=0.05)
    assert memory.peak_memory_document(23_000_000, 53, unit=memory.GIB) == pytest.approx(59.0, abs=0.05)


@pytest.mark.parametrize(
    ("text", "fraction"), [("0.5", 0.5), ("0.05", 0.1), ("2", 0.9), ("0.9", 0.9), ("-1", 0.1), (None, 0.75)]
)
def test_the_fraction_comes_from_the_environment_and_is_clamped(monkeypatch, text, fraction):
    if text is None:
        monkeypatch.delenv(memory.FRACTION_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(memory.FRACTION_VARIABLE, text)
    value, source = memory.memory_fraction()
    assert value == fraction
    assert ("clamped" in source) == (text is not None and float(text) != fraction)


@pytest.mark.parametrize("text", ["", "half", "nan"])
def test_a_fraction_that_is_no_number_is_refused(monkeypatch, text):
    monkeypatch.setenv(memory.FRACTION_VARIABLE, text)
    with pytest.raises(InvalidValue, match=r"fraction|FRACTION"):
        memory.memory_fraction()


def test_a_fraction_given_counts_before_the_environment(monkeypatch):
    monkeypatch.setenv(memory.FRACTION_VARIABLE, "0.2")
    assert memory.memory_fraction(0.6) == (0.6, "given")


def test_without_psutil_sysconf_tells_and_without_both_it_is_16_gb(monkeypatch):
    import psutil

    real = builtins.__import__
    assert memory.total_memory() == (float(psutil.virtual_memory().total), "psutil")

    def no_psutil(name, *args, **kwargs):
        if name == "psutil":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_psutil)
    total, source = memory.total_memory()
    assert source == "sysconf"
    assert total == pytest.approx(psutil.virtual_memory().total, rel=0.01)

    def no_sysconf(name):
        raise ValueError(name)

    monkeypatch.setattr(memory.os, "sysconf", no_sysconf)
    assert memory.total_memory() == (16e9, "fallback")


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"memory.max": "3000\n", "memory.current": "1000\n"}, 2000.0),
        ({"memory.max": "max\n", "memory.current": "1000\n"}, None),
        ({"memory/memory.limit_in_bytes": "5000", "memory/memory.usage_in_bytes": "7000"}, 0.0),
        ({"memory/memory.limit_in_bytes": str(1 << 63)}, None),
        ({}, None),
    ],
)
def test_a_cgroup_limits_what_is_available(tmp_path, files, left):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory.cgroup_headroom(tmp_path) == left
    available, source = memory.available_memory(tmp_path)
    assert (available, source) == (left, "cgroup") if left is not None else source == "psutil"
