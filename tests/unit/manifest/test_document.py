import pytest

from campaign.errors import ManifestError
from campaign.manifest import document
from campaign.manifest.load import read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n  "b": }', "line 2, column 8"),
        ("", "line 1, column 1"),
        ('{"a": 1, "a": 2}', "the key `a` appears twice"),
        ('{"a": {"b": NaN}}', "`NaN` is not a JSON number"),
        ('{"a": -Infinity}', "`-Infinity` is not a JSON number"),
        ('{"a": 1e999}', "beyond the range of a double"),
        ('{"a": 9007199254740993}', "beyond 2^53"),
        ('{"a": ' + "9" * 5000 + "}", "beyond 2^53"),
        ("[" * 65 + "]" * 65, "nested deeper than 64"),
        ("[" * 100_000, "nested deeper than 64"),
        (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(ManifestError) as caught:
        document.parse(text)
    assert message in str(caught.value)
    assert caught.value.exit_code == 3


def test_brackets_inside_strings_are_no_nesting():
    assert document.parse('{"a": "' + "[" * 100 + '", "b": "\\"["}') == {"a": "[" * 100, "b": '"['}


def test_a_byte_order_mark_is_skipped():
    assert document.parse(b'\xef\xbb\xbf{"a": 1.5}') == {"a": 1.5}


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    with pytest.raises(ManifestError, match="the most is 33,554,432"):
        read(path)
