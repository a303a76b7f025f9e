"""The doctor finds what is there, and names what is not."""

import json

import pytest

from campaign.cli import checks
from campaign.cli.main import run


def by_check(findings):
    return {finding.check: finding for finding in findings}


def test_a_good_folder_passes_and_is_left_as_it_was(tmp_path):
    found = by_check(checks.file_system(tmp_path))
    assert {found[name].level for name in ("rename", "exclusive creation", "file locks", "clock")} == {checks.OK}
    assert "ms" in found["fsync"].message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_yet_is_judged_by_its_parent(tmp_path):
    assert by_check(checks.file_system(tmp_path / "a" / "b"))["rename"].level == checks.OK
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_fails_with_a_fix(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checks.Path, "mkdir", refuse)
    (finding,) = list(checks.file_system(tmp_path))[:1]
    assert finding.level == checks.FAIL
    assert "-d" in finding.fix


def test_data_folders_are_those_that_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("CAMPAIGN_DATA", str(tmp_path))
    found = by_check(checks.data_files())
    assert str(tmp_path) in found["data folders"].message


def test_devices_name_a_cpu():
    assert "CPU cores" in by_check(checks.devices())["devices"].message


def test_loopback_connects():
    assert by_check(checks.ports())["loopback"].level == checks.OK


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_doctor_prints_every_check(capsys, tmp_path, arguments):
    assert run(["doctor", "-d", str(tmp_path), *arguments]) == 0
    out = capsys.readouterr().out
    if arguments:
        document = json.loads(out)
        assert document["schema"] == "campaign.doctor/1"
        assert {"python", "devices", "fsync", "loopback", "problems"} <= {c["check"] for c in document["checks"]}
    else:
        assert "exclusive creation" in out


def test_a_failed_check_is_exit_code_six(capsys, monkeypatch):
    finding = checks.Finding(check="devices", level=checks.FAIL, message="none", fix="buy one")
    monkeypatch.setattr(checks, "devices", lambda: [finding])
    assert run(["doctor"]) == 6
    assert "→ buy one" in capsys.readouterr().out
