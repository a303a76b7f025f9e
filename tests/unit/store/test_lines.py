"""Lines of JSON from columns: the bytes that `records.dumps` writes for each record."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from campaign.store.lines import Same, json_lines, records_of, taken
from campaign.store.records import dumps

N = 3
_columns = st.one_of(
    arrays(np.float64, N),
    arrays(np.float32, N),
    arrays(np.int64, N),
    arrays(np.bool_, N),
    st.lists(st.one_of(st.none(), st.text(), st.lists(st.text(max_size=3), max_size=2)), min_size=N, max_size=N),
    st.builds(Same, st.one_of(st.none(), st.text(), st.floats(), st.just({}), st.just([]))),
)
_names = st.text(min_size=1, max_size=8)


@given(st.dictionaries(_names, st.one_of(_columns, st.dictionaries(_names, _columns, max_size=3)), max_size=6))
def test_a_line_is_what_its_record_gives(columns) -> None:
    assert json_lines(columns, N) == [dumps(record) for record in records_of(columns, N)]


def test_records_of_columns() -> None:
    columns = {"a": np.array([1.5, np.nan]), "b": {"c": ["x", "100 %"]}, "d": Same(None), "n": np.array([1, 2])}
    assert json_lines(columns, 2) == [
        b'{"a":1.5,"b":{"c":"x"},"d":null,"n":1}',
        b'{"a":null,"b":{"c":"100 %"},"d":null,"n":2}',
    ]
    assert json.loads(json_lines({"%b": Same("%b")}, 1)[0]) == {"%b": "%b"}
    assert json_lines({"a": np.zeros(0)}, 0) == []


def test_taken_picks_rows_of_every_kind_of_column() -> None:
    rows = np.array([2, 0])
    assert taken(np.array([1, 2, 3]), rows).tolist() == [3, 1]
    assert taken(["a", "b", "c"], rows) == ["c", "a"]
    assert taken(Same(7), rows) == Same(7)
