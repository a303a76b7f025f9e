"""Tables, pairs and JSON objects on stdout."""

import json

from campaign.cli.output import pairs, table, write_json


def test_table_aligns_columns():
    text = table(("name", "n"), [("a", 5), ("longer", 12345), (None, 1)], right=(1,))
    assert [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in text.splitlines()] == [
        "name        n",
        "a           5",
        "longer  12345",
        "            1",
    ]


def test_pairs_leave_out_what_is_none():
    assert pairs([("state", "running"), ("eta", None), ("n", 3)]) == "state  running\nn      3"


def test_json_names_its_schema_and_has_no_nan(capsys):
    write_json("status", {"n": 1, "rate": float("nan"), "eta": float("inf")})
    assert json.loads(capsys.readouterr().out) == {"schema": "campaign.status/1", "n": 1, "rate": None, "eta": None}
