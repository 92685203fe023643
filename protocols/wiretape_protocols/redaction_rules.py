"""
The rules by which users add to what is replaced: by member, by header, by pattern, by value.

Owns what a rule is, how it is written, and which are refused. A rule is stored with its recording,
so it names secrets and never holds one. How rules are applied is for `redaction`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from wiretape_protocols.errors import WiretapeError
from wiretape_protocols.json_pointers import ANY, Pointer
from wiretape_protocols.regex_safety import compile_safely

SHORT_VALUE_CHARS = 6
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_VARIABLE = re.compile(r"[^=\x00]+")
_NEEDED_HEADERS = re.compile(r"(?i)sec-websocket-(?!protocol)|(?:upgrade|connection|host)\Z")
_PLAIN_TEXT = re.compile(r"[\w \-:/@%&=,;~\"'<>#!]+")


class RuleError(WiretapeError):
    """A rule that cannot be applied."""

    usage = True

    def __init__(self, option: str, rule: str | None, why: str, advice: str) -> None:
        """Say which option, what stands there (None where it may be a secret), why not, and what to write."""
        super().__init__(option, rule, why, advice)
        self.option = option
        self.rule = rule
        self.why = why
        self.advice = advice

    def __str__(self) -> str:
        named = self.option if self.rule is None else f"{self.option} {self.rule!r}"
        return f"{named} cannot be used, {self.why}: {self.advice}"


@dataclass(frozen=True, slots=True)
class MemberRule:
    """Values of messages: those of a method (a name or a glob) that a JSON pointer finds."""

    method: str
    pointer: str

    @classmethod
    def parse(cls, text: str) -> "MemberRule":
        """Read METHOD:POINTER. Raises RuleError."""
        advice = "write METHOD:POINTER, such as sendrawtransaction:/Data or *:/params/*/token"
        method, colon, pointer = text.partition(":/")
        if not colon or not method or not pointer:
            raise RuleError("--redact", text, "it has no method or no pointer", advice)
        try:
            Pointer.parse("/" + pointer)
        except ValueError as exc:
            raise RuleError("--redact", text, str(exc), advice) from exc
        return cls(method, "/" + pointer)

    def __str__(self) -> str:
        return f"member:{self.method}:{self.pointer}"

    def is_for(self, method: str) -> bool:
        """Whether the messages of a method are meant."""
        return fnmatchcase(method, self.method)

    def words(self) -> list[bytes]:
        """The names in the rule, of which a message that it is meant for has each."""
        named = [] if set(self.method) & set("*?[") else [self.method]
        segments = (part for part in Pointer.parse(self.pointer).segments if part != ANY)
        return [word.encode() for word in (*named, *(part for part in segments if not part.isdigit()))]


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """The value of a header field, in either direction."""

    name: str

    @classmethod
    def parse(cls, text: str) -> "HeaderRule":
        """Read a field's name. Raises RuleError."""
        advice = "write one such as X-Account"
        if ":" in text:
            raise RuleError("--redact-header", None, "a header's name has no colon", advice)
        if not _HEADER_NAME.fullmatch(text):
            raise RuleError("--redact-header", text, "it is no header's name", advice)
        if _NEEDED_HEADERS.match(text):
            advice = "leave the option out"
            raise RuleError("--redact-header", text, "a replay needs that header", advice)
        return cls(text)

    def __str__(self) -> str:
        return f"header:{self.name}"


@dataclass(frozen=True, slots=True)
class RegexRule:
    """What a pattern finds in any text: its groups if it has some, else all of it."""

    pattern: str

    @classmethod
    def parse(cls, text: str) -> "RegexRule":
        """Read a regular expression of Python. Raises RuleError."""
        try:
            compile_safely(text)
        except ValueError as exc:
            advice = r"write one such as acct-[0-9]+ or PIN: ([0-9]{4})"
            raise RuleError("--redact-regex", text, str(exc), advice) from exc
        return cls(text)

    def __str__(self) -> str:
        return f"regex:{self.pattern}"


@dataclass(frozen=True, slots=True)
class EnvironmentRule:
    """The value of an environment variable, wherever it stands; the rule has only its name."""

    name: str

    @classmethod
    def parse(cls, text: str) -> "EnvironmentRule":
        """Read a variable's name. Raises RuleError."""
        if not _VARIABLE.fullmatch(text):
            advice = "write the name, not the value, such as HOTBIT_SECRET"
            raise RuleError("--redact-env", text.partition("=")[0], "it is no variable's name", advice)
        return cls(text)

    def __str__(self) -> str:
        return f"env:{self.name}"

    def value_in(self, environment: Mapping[str, str]) -> bytes:
        """The value to look for, without the space around it; empty where the variable is not set."""
        return environment.get(self.name, "").strip().encode("utf-8", "surrogateescape")


RedactionRule = MemberRule | HeaderRule | RegexRule | EnvironmentRule

_KINDS: Mapping[str, type[RedactionRule]] = {
    "member": MemberRule,
    "header": HeaderRule,
    "regex": RegexRule,
    "env": EnvironmentRule,
}


def parse_rule(text: str) -> RedactionRule:
    """Read what `str()` of a rule gave, as it is stored with a recording. Raises RuleError."""
    kind, _, rest = text.partition(":")
    if kind not in _KINDS:
        advice = "read it with the wiretape that recorded it"
        raise RuleError("the recording's redaction rule", kind, "this version does not know it", advice)
    return _KINDS[kind].parse(rest)


def parse_rules(texts: Sequence[str]) -> tuple[RedactionRule, ...]:
    """Read a recording's rules. Raises RuleError."""
    return tuple(map(parse_rule, texts))


def rules_of(
    members: Sequence[str] = (),
    headers: Sequence[str] = (),
    patterns: Sequence[str] = (),
    variables: Sequence[str] = (),
) -> tuple[RedactionRule, ...]:
    """Read what a user wrote for each of the four options, each rule once. Raises RuleError."""
    rules: list[RedactionRule] = [
        *map(MemberRule.parse, members),
        *map(HeaderRule.parse, headers),
        *map(RegexRule.parse, patterns),
        *map(EnvironmentRule.parse, variables),
    ]
    return tuple(dict.fromkeys(rules))


def require_values(rules: Sequence[RedactionRule], environment: Mapping[str, str]) -> None:
    """See that every variable of the rules has a value. Raises RuleError."""
    for name in unset_variables(rules, environment):
        why = "it is not set or empty" if not environment.get(name) else "it holds nothing but space"
        advice = "set it in the environment of the recorder, or leave the option out"
        raise RuleError("--redact-env", name, why, advice)


def unset_variables(rules: Sequence[RedactionRule], environment: Mapping[str, str]) -> list[str]:
    """The variables of the rules that have no value."""
    named = (rule for rule in rules if isinstance(rule, EnvironmentRule))
    return [rule.name for rule in named if not rule.value_in(environment)]


def doubts_about(rules: Sequence[RedactionRule], environment: Mapping[str, str]) -> list[str]:
    """What a user should know of rules that can be applied, a sentence each."""
    doubts: list[str] = []
    patterns = [rule.pattern for rule in rules if isinstance(rule, RegexRule)]
    for number, pattern in enumerate(patterns, 1):
        if _PLAIN_TEXT.fullmatch(pattern):
            doubts.append(
                f"pattern {number} of --redact-regex has no wildcard, and rules are stored with the recording: "
                "if it is the secret itself, put it into a variable and name that with --redact-env"
            )
    variables = [rule for rule in rules if isinstance(rule, EnvironmentRule)]
    doubts += [
        f"the value of {rule.name} has fewer than {SHORT_VALUE_CHARS} characters: "
        "it is replaced wherever it stands, also where it means something else"
        for rule in variables
        if 0 < len(rule.value_in(environment)) < SHORT_VALUE_CHARS
    ]
    return doubts
