"""Progress as lines: at the ends of a stage, when the phase changes, and every 30 s."""

from dataclasses import dataclass

from campaign.cli.progress import Lines, line, reporting


@dataclass
class Snapshot:
    stage: str = "fit"
    n_runs: int = 2000
    n_done: int = 500
    n_failed: int = 0
    phase: str = "running"
    rate: float = 100.0
    eta_s: float | None = 15.0


def test_a_line_says_count_rate_eta_and_failures():
    assert line(Snapshot()) == "fit  500/2,000 runs  25%  100 runs/s  ETA 15.0 s"
    assert line(Snapshot(n_failed=3)) == "fit  500/2,000 runs  25%  100 runs/s  ETA 15.0 s  3 failed"
    assert line(Snapshot(rate=0.0, eta_s=None, n_done=0)) == "fit  0/2,000 runs  0%"
    assert line(Snapshot(n_done=2000, phase="reducing")) == "fit  2,000/2,000 runs  100%  reducing"
    assert line(Snapshot(n_runs=0, n_done=0, rate=0.0, eta_s=None)) == "fit  0/0 runs  100%"


def test_lines_come_every_thirty_seconds_and_when_something_changes(capsys):
    now = [0.0]
    lines = Lines(every_s=30.0, clock=lambda: now[0])
    for second in range(61):
        now[0] = float(second)
        lines.show(Snapshot(n_done=second))
    lines.show(Snapshot(n_done=60, phase="done"))
    shown = capsys.readouterr().err.splitlines()
    assert [text.split("/")[0] for text in shown] == ["fit  0", "fit  30", "fit  60", "fit  60"]
    assert shown[-1].endswith("done")


def test_quiet_reports_nothing():
    with reporting(is_quiet=True) as show:
        assert show is None


def test_without_a_terminal_progress_is_lines_on_stderr(capsys):
    with reporting() as show:
        show(Snapshot())
    captured = capsys.readouterr()
    assert captured.err == "fit  500/2,000 runs  25%  100 runs/s  ETA 15.0 s\n"
    assert captured.out == ""
