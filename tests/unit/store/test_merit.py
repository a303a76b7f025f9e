"""Which run is the better one: those of the stated model first, then by loss, ties in their order."""

from campaign.store.merit import by_merit, merit

OUTCOMES = ["degenerate", "budget", "converged", "degenerate", "stalled"]
LOSSES = [1.0, 7.0, 5.0, 0.5, 5.0]


def test_the_better_come_first():
    assert by_merit(OUTCOMES, LOSSES).tolist() == [2, 4, 1, 3, 0]
    assert sorted(range(5), key=lambda i: merit(OUTCOMES[i], LOSSES[i])) == [2, 4, 1, 3, 0]
