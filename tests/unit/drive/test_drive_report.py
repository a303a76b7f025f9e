"""What a driver says: rates, the time that is left, and exit codes."""

from pathlib import Path

import pytest

from campaign.drive.report import Progress, Report


def progress(**changes):
    values = {"stage": "main", "n_runs": 100, "n_done": 40, "n_failed": 0, "n_blocks": 10, "n_blocks_done": 4}
    return Progress(**{**values, "seconds": 5.0, "n_done_before": 20, **changes})


def test_the_rate_counts_what_this_driver_did():
    assert progress().rate == 4.0  # (40 − 20) / 5 s
    assert progress().eta_s == 15.0  # 60 runs at 4 a second


@pytest.mark.parametrize("changes", [{"seconds": 0.0}, {"n_done": 20}])
def test_nothing_is_known_before_the_first_run(changes):
    assert progress(**changes).rate == 0.0
    assert progress(**changes).eta_s is None


@pytest.mark.parametrize(
    ("state", "code"), [("done", 0), ("failed", 4), ("stopped", 5), ("paused", 7), ("incomplete", 7)]
)
def test_exit_codes(state, code):
    report = Report(directory=Path("r"), name="n", state=state, stages=(), seconds=1.0)
    assert report.exit_code == code
