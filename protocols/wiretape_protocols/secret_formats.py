"""
The formats of well-known secrets, as a table: what a key of some service looks like wherever it stands.

Owns formats that cannot be taken for anything else; guesses by names and by randomness are for
`secret_scan`.
"""

import re
from typing import NamedTuple


class Format(NamedTuple):
    """One kind of secret."""

    rule: str
    marks: tuple[str, ...]
    """One of these stands in each text that has such a secret; much quicker to look for than the pattern."""
    pattern: re.Pattern[str]


def _format(rule: str, marks: str, pattern: str) -> Format:
    return Format(rule, tuple(marks.split()), re.compile(pattern))


_EDGE = r"(?<![A-Za-z0-9_-])"
_END = r"(?![A-Za-z0-9_-])"

FORMATS = (
    _format("aws-access-key", "AKIA ASIA", _EDGE + r"(?:AKIA|ASIA)[A-Z0-9]{16}" + _END),
    _format("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", _EDGE + r"gh[pousr]_[A-Za-z0-9]{36,255}" + _END),
    _format("github-token", "github_pat_", _EDGE + r"github_pat_[A-Za-z0-9_]{40,}"),
    _format("gitlab-token", "glpat-", _EDGE + r"glpat-[\w-]{20,}"),
    _format("slack-token", "xox", _EDGE + r"xox[abeoprs]-[A-Za-z0-9-]{10,}"),
    _format("slack-webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/[\w/+-]{20,}"),
    _format("stripe-key", "_live_ _test_", _EDGE + r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    _format("stripe-webhook-secret", "whsec_", _EDGE + r"whsec_[A-Za-z0-9+/=]{24,}"),
    _format("google-api-key", "AIza", _EDGE + r"AIza[\w-]{35}" + _END),
    _format("google-oauth-token", "ya29.", _EDGE + r"ya29\.[\w-]{20,}"),
    _format("google-client-secret", "GOCSPX-", _EDGE + r"GOCSPX-[\w-]{20,}"),
    _format("openai-or-anthropic-key", "sk-", _EDGE + r"sk-(?:ant-|proj-|svcacct-)?[\w-]{32,}"),
    _format("npm-token", "npm_", _EDGE + r"npm_[A-Za-z0-9]{36}" + _END),
    _format("pypi-token", "pypi-", _EDGE + r"pypi-[\w-]{50,}"),
    _format("sendgrid-key", "SG.", _EDGE + r"SG\.[\w-]{16,32}\.[\w-]{16,64}"),
    _format("huggingface-token", "hf_", _EDGE + r"hf_[A-Za-z0-9]{30,}" + _END),
    _format("digitalocean-token", "dop_v1_", _EDGE + r"dop_v1_[0-9a-f]{64}" + _END),
    _format("telegram-bot-token", ":AA", _EDGE + r"[0-9]{8,10}:AA[\w-]{33}" + _END),
    _format("jwt", "eyJ", _EDGE + r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    _format("private-key", "PRIVATE", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    _format("age-secret-key", "AGE-SECRET-KEY-", r"AGE-SECRET-KEY-1[A-Z0-9]{50,}"),
)
