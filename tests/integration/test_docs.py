"""Every snippet of the manual is executed: files are written, commands and Python run, in order, page by page.

A fenced block says what it is: ``json file=NAME`` (or any other language) is written to a file; ``sh`` is run, and must
end with the exit code of ``exit=N`` (0); ``python`` is run; ``json`` is parsed; ``text`` is output.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from campaign.cli.failure import EXIT_CODES
from campaign.cli.main import COMMANDS, group
from campaign.engines.outcome import Outcome
from campaign.errors import CampaignError

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md"])
PAGES = [page for page in PAGES if not page.name.endswith(".in.md")]
_BLOCK = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)(?:#[^)]*)?\)")


def blocks(page):
    """(language, {option: value}, body) of every fenced block."""
    for head, body in _BLOCK.findall(page.read_text(encoding="utf-8")):
        words = head.split()
        yield (words[0] if words else ""), dict(word.split("=", 1) for word in words[1:]), body


def executed(command, body, folder):
    """Run a snippet where a reader would."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    python_path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    own = {"CAMPAIGN_DEFAULTS": str(folder / ".defaults")}  # not those of whoever runs the tests
    environment = {**os.environ, "PATH": path, "PYTHONPATH": python_path, "NO_COLOR": "1", **own}
    return subprocess.run([*command, body], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_snippets(page, tmp_path):
    for language, options, body in blocks(page):
        if "file" in options:
            target = tmp_path / options["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(body, encoding="utf-8")
        elif language == "json":
            json.loads(body)
        elif language in ("sh", "python"):
            command = ["bash", "-euo", "pipefail", "-c"] if language == "sh" else [sys.executable, "-c"]
            done = executed(command, body, tmp_path)
            expected = int(options.get("exit", 0))
            assert done.returncode == expected, f"{page.name}:\n{body}\n{done.stdout}\n{done.stderr}"
        else:
            assert language == "text", f"{page.name}: what is a `{language}` block?"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_generated_pages_are_up_to_date():
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_every_command_and_option_is_documented():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    context = click.Context(group)
    for name in COMMANDS:
        assert f"\n## {name}\n" in text
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for parameter in group.get_command(context, name).params:
            for flag in parameter.opts:
                assert not flag.startswith("--") or flag in section, f"{name} {flag}"


def test_every_exit_code_and_outcome_is_explained():
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    for code in EXIT_CODES:
        assert f"\n| {code} |" in text
    for outcome in list(Outcome)[1:]:
        assert f"\n| `{outcome.label}` |" in text
    errors = [CampaignError, *CampaignError.__subclasses__()]
    assert {error.exit_code for error in errors} <= set(EXIT_CODES)


def test_the_manifest_page_shows_every_operator():
    from campaign.manifest.expand import OPERATORS

    text = (ROOT / "docs" / "manifest.md").read_text(encoding="utf-8")
    for name in OPERATORS:
        section = text.split(f"\n### {name}\n")[1].split("\n### ")[0]
        assert f'"{name}": ' in section
        assert re.search(r"\n\d+ points:\n", section)
