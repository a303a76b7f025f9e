"""Job arrays: their options, and nodes on which all jobs fail."""

from __future__ import annotations

from campaign.execute.queue.array import ArrayExecutor, black_holes
from campaign.execute.queue.profiles import Profile, option_of
from campaign.execute.queue.slurm import Ending
from campaign.store.layout import BlockTask, Layout


def options(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


def test_a_node_is_a_black_hole_when_all_that_came_there_failed_at_once():
    def ending(node, state="FAILED", run_s=1.0):
        return Ending(state=state, exit_code="1:0", reason="", node=node, run_s=run_s)

    once = [ending(node) for node in ("a", "a", "b")]
    found = black_holes([*once, ending("b", "COMPLETED"), ending("c", run_s=900.0), ending("d", "CANCELLED")])
    assert found == {"a"}
    assert black_holes([*once, ending("d")], at_least=2) == {"a"}


def test_the_options_of_a_user_take_the_place_of_ours(tmp_path):
    worker = {
        "memory_mb": 100,
        "gpus": 2,
        "directives": ["--mem-per-cpu=900", "-t 10", "--gpus-per-node=h100:2", "-x n7"],
    }
    executor = ArrayExecutor(Profile(worker=worker))
    executor.unfit, executor.suspected = {"n9"}, ["n8"]
    array = executor.plan([BlockTask("fit", 0, i) for i in range(4)], "ab12")
    given = options(executor.script(Layout(tmp_path), array))
    names = [option_of(option) for option in given]
    assert not {"mem", "gres", "time"} & set(names[: names.index("mem-per-cpu")])
    assert {"--mem-per-cpu=900", "-t 10", "--gpus-per-node=h100:2"} <= set(given)
    assert [option for option in given if option_of(option) == "exclude"] == ["--exclude=n7,n8,n9"]
    assert f"--job-name={array.name}" in given
