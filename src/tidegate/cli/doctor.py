"""`tidegate doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tidegate.doctor import Finding, examine
from tidegate.settings import get_settings


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Check everything tidegate needs, and say how to mend it. Exit code 1 if anything fails."""
    findings = []
    for finding in examine(get_settings()):
        findings.append(finding)
        if not as_json:
            typer.echo(render(finding))
    healthy = all(finding.state != "fail" for finding in findings)
    if as_json:
        typer.echo(json.dumps({"healthy": healthy, "findings": [asdict(finding) for finding in findings]}))
    raise typer.Exit(0 if healthy else 1)


def render(finding: Finding) -> str:
    """Return the finding as a line, and a second one if there is something to mend."""
    line = f"{finding.state:<5} {finding.check:<11} {finding.says}"
    return f"{line}\n{'':<17} mend: {finding.mend}" if finding.mend else line
