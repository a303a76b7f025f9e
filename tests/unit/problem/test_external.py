"""Programs as models: what goes in, what is read, what is kept of a failure."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from campaign.errors import InvalidValue
from campaign.problem.external import ExternalProgram
from campaign.problem.foreign import ledger
from campaign.problem.foreign.guard import watch
from campaign.problem.foreign.readers import Output
from campaign.space import Parameter

PARAMETERS = [Parameter(name="a", initial=0.1), Parameter(name="b", initial=2.0)]
THETA = jnp.array([0.1, 2.0])


def python(code, *words):
    return [sys.executable, "-S", "-c", code, *words]


def failure_of(problem):
    (run,) = ledger.open_runs([int(problem.handle)])
    assert np.isnan(
        ledger.values(np.array([[0.1, 2.0]]), problem.handle[None], np.array([run]), problem.outputs.size)
    ).all()
    (account,) = ledger.close_runs([run])
    return account.failure


def test_arguments_reach_the_program_exactly_and_no_shell_sees_them(tmp_path):
    problem = ExternalProgram(
        python(
            "import sys; print(float(sys.argv[1][2:]), 1.0 * (sys.argv[2:] == ['2.0', '$HOME;']))",
            "x={a}",
            "{b}",
            "$HOME;",
        ),
        PARAMETERS,
        scratch=str(tmp_path),
    )
    np.testing.assert_array_equal(problem.predict(THETA)["model"], [0.1, 1.0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["stdin", "file", "template"])
def test_parameters_by_stdin_file_and_template(way):
    source = {"stdin": "sys.stdin", "file": "open('in.json')", "template": "open('in.txt')"}[way]
    code = f"import json, sys; p = json.load({source}); print(p['a'] + p['b'])"
    given = {
        "stdin": {"json_file": "-"},
        "file": {"json_file": "in.json"},
        "template": {"templates": {"in.txt": '{"a": {a}, "b": {b}}'}},
    }[way]
    problem = ExternalProgram(python(code), PARAMETERS, data=2.0, sigma=0.5, **given)
    np.testing.assert_allclose(problem.residuals(THETA), [0.2], rtol=1e-14)


def test_outputs_of_every_format():
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; import json, numpy as np;"
        "print(json.dumps({'fit': {'y': [1, 2]}}));"
        "open('o.csv', 'w').write('t,y\\n0,3\\n1,4\\n'); np.savez('o.npz', z=np.arange(6.).reshape(2, 3))"
    )
    outputs = {
        "j": Output(format="json", key="fit.y"),
        "c": Output(file="o.csv", format="csv", key="y"),
        "n": Output(file="o.npz", format="npz"),
    }
    found = ExternalProgram(python(code), PARAMETERS, outputs=outputs).predict(THETA)
    np.testing.assert_array_equal(found["j"], [1.0, 2.0])
    np.testing.assert_array_equal(found["c"], [3.0, 4.0])
    np.testing.assert_array_equal(found["n"], np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("code", "outcome", "message"),
    [
        (
            "import sys; print('thinking'); sys.exit('no convergence')",
            "error",
            "the program ended with exit status 1: no convergence",
        ),
        ("import os; os.kill(os.getpid(), 11)", "error", "the program was ended by SIGSEGV"),
        (
            "import time; print('a', flush=True); time.sleep(1e6)",
            "timeout",
            "the program took longer than timeout_s = 3 s",
        ),
        ("print('1.0 apple')", "error", "word 2 of stdout is 'apple', not a number"),
        ("print('1.0 2.0')", "error", "stdout holds shape (2,), and (3,) was announced"),
        ("pass", "error", "stdout is empty"),
    ],
)
def test_a_failed_run_keeps_its_folder_and_what_it_said(tmp_path, code, outcome, message):
    problem = ExternalProgram(python(code), PARAMETERS, data=np.zeros(3), timeout_s=3.0, scratch=str(tmp_path))
    failure = failure_of(problem)
    (folder,) = tmp_path.iterdir()
    assert failure.outcome == outcome
    assert failure.message == f"{message}; kept: {folder}"
    assert Path(failure.details["folder"]) == folder
    assert "thinking" not in code or failure.details["stdout"] == "thinking\n"


def test_the_whole_process_group_ends_with_its_time(tmp_path):
    marker = tmp_path / "pid"
    code = (
        "import subprocess, sys, time;"
        "p = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(1e6)']);"
        f"open({str(marker)!r}, 'w').write(str(p.pid)); time.sleep(1e6)"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    failure = failure_of(ExternalProgram(python(code), PARAMETERS, data=0.0, timeout_s=3.0, scratch=str(scratch)))
    assert failure.outcome == "timeout"
    deadline = time.monotonic() + 30.0
    while is_alive(marker.read_text()) and time.monotonic() < deadline:  # a kill takes effect a moment later
        time.sleep(0.05)
    assert not is_alive(marker.read_text())


WORKER = """
import sys
from campaign.problem.foreign.program import Program, ProgramEvaluator
import numpy as np

code = (
    "import os, subprocess, sys, time;"
    "p = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(1e6)']);"
    "open('pids.part', 'w').write(f'{os.getpid()} {p.pid}'); os.rename('pids.part', sys.argv[1]); time.sleep(1e6)"
)
command = (sys.executable, "-S", "-c", code, sys.argv[1])
program = Program(command=command, names=(), templates={}, json_file=None, outputs={}, timeout_s=1e6, environment={},
                  scratch=sys.argv[2])
ProgramEvaluator(program).evaluate(np.zeros((1, 0)))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_killed_leaves_no_program_behind(tmp_path, how):
    pids = tmp_path / "pids"
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(pids), str(tmp_path)])
    until = time.monotonic() + 60.0
    while not pids.exists():
        assert worker.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    program, started_by_it = pids.read_text().split()
    assert is_alive(program)
    assert is_alive(started_by_it)
    worker.send_signal(how)
    assert worker.wait(timeout=30) == -how
    until = time.monotonic() + 30.0
    while (is_alive(program) or is_alive(started_by_it)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not is_alive(program)
    assert not is_alive(started_by_it)


def test_a_guard_kills_what_is_at_work_and_nothing_that_has_ended():
    groups = [subprocess.Popen(["sleep", "1000"], start_new_session=True) for _ in range(3)]
    try:
        a, b, c = (one.pid for one in groups)
        watch([f"+{a}\n", f"+{b}\n", f"-{a}\n", f"+{c}\n", f"-{c}\n", "+999999999\n"])
        assert groups[1].wait(timeout=10) == -signal.SIGKILL
        assert [one.poll() for one in (groups[0], groups[2])] == [None, None]
    finally:
        for one in groups:
            one.kill()
            one.wait()


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    except OSError:
        return False


def test_mistakes_in_a_command_are_found_at_once():
    with pytest.raises(InvalidValue, match=r"`\{rat\}` in the command is not a parameter"):
        ExternalProgram(["model", "{rat}"], PARAMETERS)
    with pytest.raises(InvalidValue, match="does not exist"):
        ExternalProgram(["/no/such/model"], PARAMETERS)
    with pytest.raises(InvalidValue, match="a list of words"):
        ExternalProgram("model {a}", PARAMETERS)
