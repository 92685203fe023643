"""
Putting tokens in the place of secrets, before anything is stored and before anything is matched.

A token says nothing about its secret, but equal secrets have equal tokens within a store, so that
what was recorded still matches what a client sends. Which values of a message are secret is for
its adapter and for the user's rules; the messages of one connection are for `session_redaction`.
"""

import hmac
import json
from collections.abc import Mapping, Sequence

from wiretape_protocols.handshake_redaction import HANDSHAKE_PREFIX, SUBPROTOCOLS, HandshakeRedaction
from wiretape_protocols.json_pointers import Pointer
from wiretape_protocols.json_spans import Span, splice, value_span
from wiretape_protocols.redaction_rules import (
    EnvironmentRule,
    HeaderRule,
    MemberRule,
    RedactionRule,
    RegexRule,
    unset_variables,
)
from wiretape_protocols.regex_safety import compile_safely
from wiretape_protocols.secret_texts import Found, SecretFinder
from wiretape_protocols.text_views import unescaped
from wiretape_protocols.tokens import BLIND_TOKEN, MARK, TOKEN_DIGITS, is_token

_MOST_ROUNDS = 4
_NO_SECRET = frozenset((b"null", b'""'))


class Redactor:
    """
    Replaces secrets by tokens, under the key of one store or recording.

    Whatever it returns it leaves as it is when it meets it again, so it may be used on recorded and
    on live messages alike. It holds no state besides the key and the rules.
    """

    def __init__(
        self, key: bytes, rules: Sequence[RedactionRule] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        """
        Take the key and the user's rules; the values of their variables are those in `environment`.

        With an empty key nobody knows what the tokens were made with: then all secrets have one.
        """
        self._key = key
        self.blind = not key
        """Tokens say only that a secret was there, not which."""
        variables = environment or {}
        self.unset = tuple(unset_variables(rules, variables))
        """The variables of the rules that have no value here: theirs is not found."""
        values = [rule.value_in(variables) for rule in rules if isinstance(rule, EnvironmentRule)]
        patterns = [compile_safely(rule.pattern) for rule in rules if isinstance(rule, RegexRule)]
        self.finder = SecretFinder([value for value in values if value], patterns)
        """Finds what the rules for any text find."""
        members = [rule for rule in rules if isinstance(rule, MemberRule)]
        self.members = tuple((rule, Pointer.parse(rule.pointer), rule.words()) for rule in members)
        """The rules for members of messages, with their pointers and their names."""
        self._named = frozenset(rule.name.lower() for rule in rules if isinstance(rule, HeaderRule))
        self._handshake = HandshakeRedaction(self.token)

    def token(self, secret: bytes) -> bytes:
        """Make the token of a secret; a token is its own."""
        if is_token(secret):
            return secret
        if self.blind:
            return BLIND_TOKEN
        return MARK + hmac.digest(self._key, secret, "sha256").hex()[:TOKEN_DIGITS].encode()

    def payload(
        self, payload: bytes, spans: Sequence[Span], learned: dict[bytes, bytes] | None = None
    ) -> bytes:
        """
        Replace the JSON values at the spans by strings that hold their tokens, and what the rules find.

        The secret of a string is what it says, however it is escaped; of another value, its text.
        `learned` are more secrets to find, by their spellings. Spans must not overlap (ValueError).
        """
        found: list[Found] = []
        if learned or not self.finder.idle:
            found = self.finder.find(payload, learned or {})
        if not found:
            return self._with_values(payload, spans) if spans else payload
        return splice(payload, self._replacements(payload, sorted(spans), found))

    def text(self, text: bytes, learned: dict[bytes, bytes] | None = None) -> bytes:
        """Replace what the rules find, and `learned` secrets, in bytes of any kind."""
        return self._stable(text, learned or {}) if learned or not self.finder.idle else text

    def headers(
        self, headers: Sequence[tuple[str, str]], learned: dict[bytes, bytes] | None = None
    ) -> tuple[tuple[str, str], ...]:
        """Replace the credentials in header fields, and what the rules find in them and in their values."""
        if learned or not self.finder.idle:
            headers = [(name, self._header_text(name, value, learned)) for name, value in headers]
        return self._handshake.headers(headers, self._named)

    def target(self, target: str, learned: dict[bytes, bytes] | None = None) -> str:
        """Replace the credentials in a path and query; all else stays byte for byte."""
        return self._handshake.target(self._string(target, learned))

    def url(self, url: str) -> str:
        """Replace the user and the password of a URL too, besides what `target` replaces."""
        return self._handshake.url(self._string(url, None))

    def secrets_of(self, target: str, headers: Sequence[tuple[str, str]]) -> list[bytes]:
        """The credentials of a handshake that would be the same secret wherever else they stand."""
        found: list[bytes] = []
        noting = HandshakeRedaction(self.token, found.append)
        noting.target(target)
        noting.headers(headers, self._named)
        return found

    def member_spans(self, payload: bytes, method: str | None) -> list[Span]:
        """
        The values of a message that the rules for its method mean; with None, those of every rule.

        A message that is no JSON, but has every name in a rule, is one value: what its reader makes
        of it is anybody's guess.
        """
        spans: set[Span] = set()
        for rule, pointer, words in self.members:
            found = pointer.spans(payload) if method is None or rule.is_for(method) else None
            if found is not None:
                spans.update(span for span in found if payload[slice(*span)] not in _NO_SECRET)
            elif words and _broken_with(payload, words):
                return [(0, len(payload))]
        return outermost(spans)

    def _with_values(self, payload: bytes, spans: Sequence[Span]) -> bytes:
        return splice(payload, [(span, self._json_token(payload[slice(*span)])) for span in spans])

    def _replacements(
        self, payload: bytes, spans: Sequence[Span], found: Sequence[Found]
    ) -> list[tuple[Span, bytes]]:
        """One replacement for each value and each text, and one for what of the two overlaps."""
        pieces = [(start, stop, self._json_token(payload[start:stop])) for start, stop in spans]
        pieces += [(each.start, each.stop, self._found_token(each)) for each in found]
        pieces.sort(key=lambda piece: (piece[0], -piece[1]))
        united: list[tuple[Span, bytes]] = []
        for start, stop, token in pieces:
            if not united or start >= united[-1][0][1]:
                united.append(((start, stop), token))
            elif stop > united[-1][0][1]:
                span = united[-1][0][0], stop
                united[-1] = span, self.token(payload[slice(*span)])
        return united

    def _found_token(self, found: Found) -> bytes:
        token = self.token(found.secret)
        return b'"' + token + b'"' if found.quoted else token

    def _stable(self, text: bytes, learned: dict[bytes, bytes]) -> bytes:
        """Replace until nothing more is found; what never comes to an end is one secret."""
        before = text
        for _ in range(_MOST_ROUNDS):
            found = self.finder.find(text, learned)
            if not found:
                return text
            text = splice(text, [((each.start, each.stop), self._found_token(each)) for each in found])
        return self.token(before)

    def _header_text(self, name: str, value: str, learned: dict[bytes, bytes] | None) -> str:
        lower = name.lower()
        if lower.startswith(HANDSHAKE_PREFIX) and lower != SUBPROTOCOLS:
            return value
        return self._string(value, learned)

    def _string(self, text: str, learned: dict[bytes, bytes] | None) -> str:
        if not learned and self.finder.idle:
            return text
        # Header fields come as the characters of latin-1, which stand for the bytes of the wire.
        latin = all("\x80" <= char <= "\xff" for char in text if char > "\x7f")
        encoded = text.encode("latin-1") if latin else text.encode("utf-8", "surrogatepass")
        replaced = self.text(encoded, learned)
        if replaced == encoded:
            return text
        return replaced.decode("latin-1") if latin else replaced.decode("utf-8", "surrogatepass")

    def _json_token(self, value: bytes) -> bytes:
        return b'"' + self.token(json_secret(value)) + b'"'


def json_secret(value: bytes) -> bytes:
    """What the secret of a JSON value is: of a string what it says, of any other its text."""
    try:
        return json.loads(value).encode("utf-8", "surrogatepass") if value.startswith(b'"') else value
    except ValueError:
        # Not a JSON string after all; a secret it is in any case.
        return value


def _broken_with(payload: bytes, words: Sequence[bytes]) -> bool:
    """Whether a payload is no JSON, but has each of the words, plain or escaped."""
    plain = all(word in payload for word in words)
    if (not plain and b"\\" not in payload) or value_span(payload, ()) is not None:
        return False
    return plain or all(word in undone for undone in (unescaped(payload),) for word in words)


def outermost(spans: set[Span]) -> list[Span]:
    """The spans that stand in no other, in order."""
    kept: list[Span] = []
    for start, stop in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, stop))
    return kept
