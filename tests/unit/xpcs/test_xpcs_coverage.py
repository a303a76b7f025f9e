"""docs/xpcs-document.md: every item of the document is there, and every test that it names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "xpcs-document.md").read_text(encoding="utf-8")
_NUMBERS = re.compile(r"(\d+)(?:–(\d+))?")


def test_every_item_is_there():
    cells = [line.split("|")[1] for line in PAGE.splitlines() if re.match(r"\| \d", line)]
    rest = PAGE.split("## Nothing to build\n")[1].split("\n## ")[0]
    cells += [re.sub(r"\(.*?\)", "", rest).partition(":")[0]]
    found = {n for cell in cells for a, b in _NUMBERS.findall(cell) for n in range(int(a), int(b or a) + 1)}
    assert found == set(range(1, 196))


def test_every_test_that_is_named_is_there():
    named = re.findall(r"`((?:unit|integration|oracle)/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 60
    for file, name in named:
        path = ROOT / "tests" / file
        assert path.exists(), file
        tree = ast.parse(path.read_text(encoding="utf-8"))
        tests = {own.name for own in tree.body if isinstance(own, ast.FunctionDef) and own.name.startswith("test_")}
        assert tests, file
        assert not name or name in tests, f"{file} has no {name}"


def test_what_names_no_test_says_why():
    for line in PAGE.splitlines():
        if re.match(r"\| \d", line):
            _, _, what, where, _ = line.split("|")
            assert "`" in where or "](" in where or len(what.strip()) > 40, line
