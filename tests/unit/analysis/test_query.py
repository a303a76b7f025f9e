"""SQL over the tables, and over nothing else."""

import pytest

import planting as p
from campaign.analysis.query import query
from campaign.errors import UnknownName, UsageError
from campaign.reduce.reducer import publish_table, reduce
from campaign.store.layout import Layout

pytest.importorskip("duckdb")


@pytest.fixture
def layout(tmp_path):
    fit = p.Planting(n_runs=10)
    layout = p.plant(tmp_path / "it's here", fit)
    p.publish(layout, fit, 0, 1)
    reduce(layout)
    return layout


def test_a_query(layout):
    found = query(layout, "select loss, \"theta.k\" k from summary where status = 'ok' order by loss desc limit 2")
    assert found.to_pylist() == [{"loss": 7.0, "k": 3.5}, {"loss": 6.0, "k": 3.0}]
    assert query(layout, "select count(*) n from summary where status is null").to_pylist() == [{"n": 2}]


def test_other_tables_are_there_too(layout):
    publish_table(layout, "best", query(layout, "select min(loss) loss from summary"))
    assert query(layout, "select loss from best").to_pylist() == [{"loss": 0.0}]


def test_no_tables_yet(tmp_path):
    with pytest.raises(UnknownName, match="campaign reduce"):
        query(Layout(tmp_path), "select 1")


@pytest.mark.parametrize(
    "sql",
    [
        "select los from summary",
        "select * from 'secret.csv'",
        "select * from read_csv('{place}/secret.csv')",
        "copy (select 1) to '{place}/out.csv'",
        "install httpfs",
        "set enable_external_access = true",
        "attach '{place}/new.db'",
    ],
)
def test_what_is_refused(layout, sql, tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(UsageError):
        query(layout, sql.format(place=tmp_path))
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "new.db").exists()
