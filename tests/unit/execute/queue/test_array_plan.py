"""The shares of a job array."""

from __future__ import annotations

from collections import Counter

from campaign.execute.queue.array_plan import ArrayPlan, load_array
from campaign.store.layout import BlockTask, Layout

TASKS = [BlockTask("fit", 0, i) for i in range(10)]


def test_shares_are_disjoint_and_hold_everything(tmp_path):
    plan = ArrayPlan(
        token="t", stage="fit", blocks=[(0, i) for i in range(10)], n_jobs=2, workers=2, settings={}, job="7"
    )
    shares = [plan.share(k) for k in range(plan.n_shares)]
    assert Counter(t for share in shares for t in share) == dict.fromkeys(TASKS, 1)
    assert {len(share) for share in shares} == {2, 3}
    plan.save(Layout(tmp_path))
    assert load_array(Layout(tmp_path)).share(3) == plan.share(3)
