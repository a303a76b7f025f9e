"""Hints for unknown names: the nearest first."""

import pytest

from campaign.errors import nearest

COLUMNS = ["run_id", "stage", "loss", "metric.chi2", "start.ratio", "stderr.rate", "theta.offset", "theta.rate"]


@pytest.mark.parametrize(
    ("name", "valid", "hint"),
    [
        ("lbfsg", ["trf", "lbfgs"], "did you mean `lbfgs`?"),
        ("TRF", ["trf", "scan"], "did you mean `trf`?"),
        ("rate", COLUMNS, "did you mean `stderr.rate` or `theta.rate`?"),
        ("chi", COLUMNS, "did you mean `metric.chi2`?"),
        ("zzz", ["b", "a"], "valid: `a`, `b`"),
        ("x", [], "there are none"),
    ],
)
def test_nearest(name, valid, hint):
    assert nearest(name, valid) == hint


def test_a_long_list_begins_with_the_nearest():
    hint = nearest("qqab", [f"x{i:02}" for i in range(30)] + ["zabz"])
    assert hint.startswith("valid: `zabz`, ")
    assert hint.endswith("… (31 in all)")
