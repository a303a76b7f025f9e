import numpy as np
import pytest

from campaign.errors import DataFileError, InvalidValue
from campaign.problem.data import columns


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "obs.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_columns_are_what_numpy_reads(tmp_path):
    path = written(tmp_path, "time,signal,error\n0,1.5,0.1\n1,2.5e-1,0.1\n2,-3,0.2\n")
    x, error = columns(path, "time", "error")
    expected = np.genfromtxt(path, delimiter=",", names=True)
    np.testing.assert_array_equal(x, expected["time"])
    np.testing.assert_array_equal(error, expected["error"])


@pytest.mark.parametrize("text", ["# made by hand\nt;y\n\n1;2\n", "\ufefft\ty\n1\t2\n", "t, y\r\n1, 2\r\n"])
def test_separators_comments_and_marks_are_understood(tmp_path, text):
    assert [float(v[0]) for v in columns(written(tmp_path, text), "t", "y")] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t,y\n1,2\n1,nan\n", "`obs.csv` line 3, column `y`: the value is nan"),
        ("t,y\n1,\n", "`obs.csv` line 2, column `y`: nothing is there"),
        ("t,y\n1,2\n\n2,about 3\n", "`obs.csv` line 4, column `y`: 'about 3' is not a number"),
        ("t,y\n1,2\n2\n", "`obs.csv` line 3 has 1 values, and there are 2 columns"),
        ("t,x\n1,2\n", "`obs.csv` has no column `y`"),
        ("y,y\n1,2\n", "`obs.csv` has 2 columns `y`"),
        ("t,y\n", "`obs.csv` has names of columns and no data"),
        ("", "`obs.csv` has no line with names of columns"),
    ],
)
def test_errors_name_the_place_and_the_value(tmp_path, text, message):
    with pytest.raises(InvalidValue) as caught:
        columns(written(tmp_path, text), "y")
    assert caught.value.message == message
    if "no column" in message:
        assert "It has: t, x" in caught.value.hint


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataFileError, match="No such file"):
        columns(tmp_path / "none.csv", "y")
    with pytest.raises(DataFileError, match="is not UTF-8"):
        columns(written(tmp_path, "t,y\n1,é\n", "latin-1"), "y")


@pytest.mark.parametrize("text", ["1_2", "١", "0x10", "1d", "1,5", "−1", "1 2", "+-1"])
def test_what_only_python_takes_for_a_number_is_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(f"x;y\n1;{text}\n", encoding="utf-8")
    with pytest.raises(InvalidValue, match=r"line 2, column `y`: .* is not a number"):
        columns(tmp_path / "t.csv", "y")


@pytest.mark.parametrize(
    ("head", "hint"), [("x,y,y", "rename one of them"), ("x y", "not with blanks"), ("x,Y", "did you mean `Y`")]
)
def test_a_column_that_is_not_found_comes_with_what_to_do(tmp_path, head, hint):
    (tmp_path / "t.csv").write_text(f"{head}\n{','.join('1' for _ in head.split(','))}\n")
    with pytest.raises(InvalidValue) as error:
        columns(tmp_path / "t.csv", "y")
    assert hint in error.value.hint


def test_exponents_of_fortran_are_read(tmp_path):
    (tmp_path / "t.csv").write_text("x;y\n1;1.5D3\n2;-2d-1\n")
    np.testing.assert_array_equal(columns(tmp_path / "t.csv", "y")[0], [1500.0, -0.2])
