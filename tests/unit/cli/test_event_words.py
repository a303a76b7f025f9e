"""Events as sentences."""

import pytest

from campaign.cli.event_words import words

BLOCK = {"t": 1.0, "stage": "fit", "part": 0, "block": 7, "worker": "host:1", "writer": "w"}


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        ({"event": "block_started", **BLOCK}, "fit, block 7 on host:1"),
        (
            {
                "event": "block_published",
                **BLOCK,
                "part": 2,
                "n_ok": 1,
                "n_failed": 63,
                "seconds": 4.2,
                "compile_s": 3.4,
                "failures": [{"signature": "NaN", "n": 63}],
            },
            "fit, block 7 of part 2: 1 run ok, 63 runs failed in 4.2 s (3.4 s compiling) on host:1; 63 × NaN",
        ),
        (
            {"event": "submitted", "t": 1.0, "stages": {"a": {"part": 0, "n_runs": 2000, "n_new": 5, "n_removed": 1}}},
            "a: 2,000 runs, 5 new, 1 removed",
        ),
        (
            {"event": "block_lost", **BLOCK, "reason": "gone", "count": 2},
            "fit, block 7: lost with its worker, 2 times by now; gone",
        ),
        (
            {"event": "block_pass", **BLOCK, "n_done": 120, "n": 352, "kind": "ARROW"},
            "fit, block 7: 120 of 352 row blocks of a pass (ARROW)",
        ),
        ({"event": "reduced", "t": 1.0, "n_rows": 1234}, "the table has 1,234 rows"),
        ({"event": "reduced", "t": 1.0, "rows": 3}, "rows 3"),
        ({"event": "of_tomorrow", "t": 1.0, "a": {"b": 1}, "c": 0.25, "d": None}, "a b 1, c 0.25"),
    ],
)
def test_sentences(event, sentence):
    assert words(event) == sentence
