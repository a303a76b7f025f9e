"""`campaign verify`: does what is on disk agree with itself."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from campaign.analysis.finding import LEFTOVER
from campaign.cli.numbers import count
from campaign.cli.output import campaign_argument, json_option, talk, write, write_json
from campaign.cli.output import command as new_command

_MAX_SHOWN = 50


@new_command("verify")
@campaign_argument
@click.option("--repair", "is_repairing", is_flag=True, help="Rebuild damaged files, or move them to damaged/.")
@json_option
@click.pass_context
def command(ctx: click.Context, directory: str, is_repairing: bool, as_json: bool) -> None:
    """Check for damage, and repair it.

    Reads every file and checks that checksums are right, that plans, records and arrays agree, and that each trace ends
    where its summary says. The exit code is 9 if something is wrong; temporary files that a killed process left behind
    are listed, but are not damage. --repair rebuilds files from others; results that can only be computed again are
    moved to damaged/, and `campaign resume` computes them. What cannot be repaired is left unchanged, with a message
    that says what is lost.

    \b
    Example:
      campaign verify results/first
      campaign verify results/first --repair && campaign resume results/first
    """
    from campaign.analysis.check_foundation import is_campaign
    from campaign.analysis.handle import open_campaign
    from campaign.analysis.verify import verify
    from campaign.drive.repairing import repair
    from campaign.store.layout import Layout

    layout = Layout(Path(directory).expanduser())
    if not is_campaign(layout):
        open_campaign(directory)  # says what is there instead
    findings = verify(layout)
    repaired = repair(layout, findings) if is_repairing and findings else None
    left = repaired.left if repaired else tuple(findings)
    if as_json:
        document = {"n_findings": len(findings), "findings": [finding.to_json() for finding in findings]}
        write_json("verify", {**document, "repaired": asdict(repaired) if repaired else None})
    else:
        _print(findings, repaired, directory)
    ctx.exit(9 if any(finding.kind != LEFTOVER for finding in left) else 0)


def _print(findings, repaired, directory: str) -> None:
    for finding in findings[:_MAX_SHOWN]:
        write(str(finding))
    if len(findings) > _MAX_SHOWN:
        write(f"… and {count(len(findings) - _MAX_SHOWN)} more; --json has all")
    if not findings:
        write("nothing is wrong")
    elif repaired is None:
        repairable = [finding for finding in findings if finding.repair != "none"]
        is_sound = all(finding.kind == LEFTOVER for finding in findings)
        talk(f"{count(len(findings))} {'leftovers, no damage' if is_sound else 'findings'}")
        if repairable:
            talk(f"next: campaign verify {directory} --repair")
    else:
        counts = [f"made {len(repaired.rebuilt)} again", f"removed {len(repaired.removed)}"]
        parts = [*counts, f"moved {len(repaired.moved)}"]
        write(", ".join(parts) + (f" to {repaired.folder}" if repaired.folder else ""))
        for finding in repaired.left:
            write(f"left: {finding}")
        if repaired.moved:
            talk(f"next: campaign resume {directory}")
