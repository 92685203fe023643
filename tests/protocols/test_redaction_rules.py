"""Rules: what is accepted comes back from the store as it was, what is refused is named, no value is kept."""

import base64

import pytest

from wiretape_protocols import Redactor
from wiretape_protocols.redaction_rules import (
    EnvironmentRule,
    HeaderRule,
    MemberRule,
    RegexRule,
    RuleError,
    doubts_about,
    parse_rules,
    require_values,
    rules_of,
    unset_variables,
)


def test_a_rule_is_read_from_what_is_stored_of_it() -> None:
    rules = rules_of(
        ["sendrawtransaction:/Data", "*:/params/*/a~1b", "a:b:/c:/d"],
        ["X-Account"],
        [r"acct-[0-9]+", "PIN: ([0-9]{4})"],
        ["HOTBIT_SECRET"],
    )

    assert parse_rules(list(map(str, rules))) == rules
    assert rules == (
        MemberRule("sendrawtransaction", "/Data"),
        MemberRule("*", "/params/*/a~1b"),
        MemberRule("a:b", "/c:/d"),
        HeaderRule("X-Account"),
        RegexRule("acct-[0-9]+"),
        RegexRule("PIN: ([0-9]{4})"),
        EnvironmentRule("HOTBIT_SECRET"),
    )


def test_a_rule_that_is_given_twice_counts_once() -> None:
    assert len(rules_of(["*:/a", "*:/a"], ["X", "X"])) == 2


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        pytest.param("members", "sendrawtransaction", "it has no method or no pointer", id="no-pointer"),
        pytest.param("members", ":/a", "it has no method or no pointer", id="no-method"),
        pytest.param("members", "login:params/0", "it has no method or no pointer", id="no-slash"),
        pytest.param("members", "login:/", "it has no method or no pointer", id="the-nameless-member"),
        pytest.param("members", "login:/a~b", "~ is written ~0", id="bad-escape"),
        pytest.param("headers", "X-Key: abc", "a header's name has no colon", id="header-with-a-value"),
        pytest.param("headers", "bad header", "--redact-header 'bad header'", id="header-with-a-space"),
        pytest.param("headers", "", "no header's name", id="no-header"),
        pytest.param("headers", "Sec-WebSocket-Extensions", "a replay needs that header", id="needed-header"),
        pytest.param("patterns", "(", "Python's re cannot read it", id="broken"),
        pytest.param("patterns", "", "it matches the empty text", id="empty"),
        pytest.param("patterns", "a*", "it matches the empty text", id="may-be-empty"),
        pytest.param("patterns", r"\b", "it matches the empty text", id="no-width"),
        pytest.param("patterns", "(?=a)", "it matches the empty text", id="looks-ahead-alone"),
        pytest.param("patterns", "(a+)+b", "a repetition within a repetition", id="nested"),
        pytest.param("patterns", r"(?:\w+\s?)*$x", "a repetition within a repetition", id="nested-words"),
        pytest.param("patterns", "(?:(?:a|ab){1,20})*c", "can take for ever", id="nested-counted"),
        pytest.param("patterns", "(?:a|a)+b", "alternatives that can begin alike", id="equal-branches"),
        pytest.param("patterns", r"(?:\wx|\d)+b", "alternatives that can begin alike", id="wide-branches"),
        pytest.param("patterns", "a" * 1001, "longer than 1000", id="long"),
        pytest.param("variables", "A=secret", "no variable's name", id="with-a-value"),
        pytest.param("variables", "", "no variable's name", id="no-name"),
    ],
)
def test_a_bad_rule_is_refused_with_a_sentence(option: str, text: str, words: str) -> None:
    with pytest.raises(RuleError) as caught:
        rules_of(**{option: [text]})

    said = str(caught.value)
    assert caught.value.usage
    assert words in said
    assert said.startswith("--redact")
    assert "secret" not in said
    assert "abc" not in said


@pytest.mark.parametrize(
    "pattern",
    [
        "[0-9a-f]{32}",
        r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}",
        r"(?:\w++\.)++\w+",
        "(?>a+b)+",
        "(?:foo|bar)+",
        r'"pin":\s*"([^"]+)"',
        "(?i)acct-(?P<number>[0-9]+)",
        "[[a]x+",
    ],
)
def test_patterns_that_cannot_explode_are_taken(pattern: str) -> None:
    assert RegexRule.parse(pattern).pattern == pattern


def test_a_rule_of_another_version_is_named() -> None:
    with pytest.raises(RuleError, match="'xpath' cannot be used, this version does not know it"):
        parse_rules(["xpath://secret"])


@pytest.mark.parametrize("environment", [{}, {"A_SECRET": ""}, {"A_SECRET": " \n"}])
def test_a_variable_without_a_value_is_refused_at_recording(environment: dict[str, str]) -> None:
    rules = rules_of(variables=["A_SECRET"])

    assert unset_variables(rules, environment) == ["A_SECRET"]
    with pytest.raises(RuleError, match="--redact-env 'A_SECRET' cannot be used"):
        require_values(rules, environment)
    require_values(rules, {"A_SECRET": "value"})


def test_doubtful_rules_are_told_without_what_they_hold() -> None:
    rules = rules_of(patterns=["[a-z]+", "hunter2"], variables=["SHORT", "LONG"])

    doubts = doubts_about(rules, {"SHORT": "12345", "LONG": "123456"})

    assert len(doubts) == 2
    assert doubts[0].startswith("pattern 2 of --redact-regex has no wildcard")
    assert doubts[1].startswith("the value of SHORT has fewer than 6 characters")
    assert "hunter2" not in "".join(doubts)
    assert "12345" not in "".join(doubts)


def test_a_method_is_a_name_or_a_glob() -> None:
    assert MemberRule.parse("order.*:/a").is_for("order.query")
    assert not MemberRule.parse("order.*:/a").is_for("Order.query")
    assert MemberRule.parse("*:/a").is_for("")


@pytest.mark.parametrize("before", [b"", b"a", b"ab"])
@pytest.mark.parametrize("padding", [b"=", b""])
def test_a_value_that_ends_its_base64_leaves_nothing_of_its_last_digits(
    before: bytes, padding: bytes
) -> None:
    redactor = Redactor(b"key", [EnvironmentRule("VALUE")], {"VALUE": "s3cret-value-1"})
    encoded = base64.b64encode(before + b"s3cret-value-1")
    text = b'{"a": "%b"}' % (encoded if padding else encoded.rstrip(b"="))
    token = redactor.token(b"s3cret-value-1")
    kept = base64.b64encode(before)[: (0, 2, 3)[len(before)]]

    redacted = redactor.text(text)

    assert redacted.endswith(token + b'"}')
    assert len(redacted) == len(b'{"a": ""}') + len(kept) + len(token)
    assert redactor.text(base64.b64encode(b"s3cret-value-1 and")).endswith(
        base64.b64encode(b"s3cret-value-1 and")[19:]
    )
