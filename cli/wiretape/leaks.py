"""Refusing to give away what looks like a secret: the last look at a file before it gets its name."""

import os
from typing import BinaryIO

from wiretape_protocols import WiretapeError
from wiretape_protocols.secret_scan import Finding, scan

_SHOWN = 10


class LeakError(WiretapeError):
    """An exported file would have what looks like secrets; it was not written."""

    def __init__(self, path: str, findings: list[Finding]) -> None:
        """Keep the findings; none of them holds the secret itself."""
        super().__init__(path, findings)
        self.path = path
        self.findings = findings

    def __str__(self) -> str:
        """Name the lines and the rules, never what stands there."""
        shown = ", ".join(f"line {each.line} ({_rule(each)})" for each in self.findings[:_SHOWN])
        more = len(self.findings) - _SHOWN
        shown += f" and {more} more" if more > 0 else ""
        advice = "redact it while recording, or export with --force"
        return f"{self.path} was not written: what looks like a secret is in {shown}; {advice}"


def _rule(finding: Finding) -> str:
    return f"{finding.rule} {finding.what}" if finding.what else finding.rule


def refuse_secrets(path: str, file: BinaryIO) -> None:
    """Search a text file that is to be called `path`. Raises LeakError."""
    findings = scan(file, os.environ)
    if findings:
        raise LeakError(path, findings)
