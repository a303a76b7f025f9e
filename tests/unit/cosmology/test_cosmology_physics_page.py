"""docs/cosmology-physics.md: every section has its code, source and tests, and they exist."""

import ast
import re
from functools import cache
from pathlib import Path

import campaign_cosmology

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "cosmology-physics.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


@cache
def names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_equation_has_its_code_its_source_and_its_tests():
    assert len(SECTIONS) == 13
    for title, text in SECTIONS.items():
        assert "```text\n" in text, title
        assert re.search(r"^- Source: \S", text, re.MULTILINE), title
        checked = re.search(r"^- Checked: (.*)", text, re.MULTILINE | re.DOTALL)
        assert checked, title
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", checked[1])
        assert named, title
        for path, name in named:
            assert name in names_in(path), f"{title}: {path}::{name}"


def test_the_code_that_is_named_is_there_and_all_physics_is_named():
    home = Path(campaign_cosmology.__file__).parent
    named = set(re.findall(r"`((?:physics|model|judge|api|data)/[\w.-]+)`", PAGE))
    for path in named:
        assert (home / path).is_file(), path
    physics = {f"physics/{path.name}" for path in (home / "physics").glob("*.py") if path.name != "__init__.py"}
    assert physics <= named


def test_it_is_linked():
    for page in ("README.md", "docs/cosmology.md"):
        assert "cosmology-physics.md" in (ROOT / page).read_text(encoding="utf-8")
