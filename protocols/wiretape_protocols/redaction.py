"""
Putting tokens in the place of secrets, before anything is stored and before anything is matched.

A token says nothing about its secret, but equal secrets have equal tokens within a store, so that
what was recorded still matches what a client sends. Which values of a message are secret is for
its adapter; headers and URLs are the same for every protocol and are known here.
"""

import hmac
import json
import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from wiretape_protocols.json_spans import Span, splice

_MARK = b"wt-"
_TOKEN_DIGITS = 32
_TOKEN = re.compile(_MARK + rb"[0-9a-f]{%d}" % _TOKEN_DIGITS)

_SCHEMED = re.compile(r"(\s*\S+\s+)(\S.*?)(\s*)")
_URL_HEADERS = frozenset({"content-location", "location", "origin", "referer"})
_SCHEMED_HEADERS = frozenset({"authorization", "proxy-authorization"})
# RFC 6455's own fields: no secret is in them but the one that applications put among the subprotocols.
_HANDSHAKE_PREFIX = "sec-websocket-"
_SUBPROTOCOLS = "sec-websocket-protocol"

# A name is one of a secret when one of its words is here: api_key, X-Auth-Token, listenKey.
_SECRET_WORD = re.compile(
    r"apikey|auth|authorization|bearer|credentials?|jwt|key|passphrase|passwd|password|pwd|"
    r"secret|session|sid|sign|signature|token"
)
# Or when it ends so, for names written in one word: accesstoken, apisecret.
_SECRET_ENDING = re.compile(
    r"(?:apikey|passphrase|passwd|password|secret|secretkey|sessid|sessionid|signature|token)\Z"
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
# Subprotocols are names made of words; so long a run of digits and letters in both cases is a credential.
_RANDOM = re.compile(r"(?=.*[0-9])(?:(?=.*[a-z])(?=.*[A-Z])[\w+/=~-]{32,}|[0-9a-f]{32,}|[0-9A-F]{32,})")
# As in base64url.bearer.authorization.k8s.io.<credential>.
_LONG_TAIL_CHARS = 16
_ANNOUNCING_WORDS = 2

_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/?#]*)@")


class Redactor:
    """
    Replaces secrets by tokens, under the key of one store.

    Whatever it returns it leaves as it is when it meets it again, so it may be used on recorded and
    on live messages alike. It holds no state besides the key.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, secret: bytes) -> bytes:
        """Make the token of a secret; a token is its own."""
        if _TOKEN.fullmatch(secret):
            return secret
        return _MARK + hmac.digest(self._key, secret, "sha256").hex()[:_TOKEN_DIGITS].encode()

    def payload(self, payload: bytes, spans: Sequence[Span]) -> bytes:
        """
        Replace the JSON values at the spans by strings that hold their tokens.

        The secret of a string is what it says, however it is escaped; of another value, its text.
        Spans must not overlap (ValueError).
        """
        if not spans:
            return payload
        return splice(payload, [(span, self._json_token(payload[slice(*span)])) for span in spans])

    def headers(self, headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """
        Replace the credentials in header fields.

        Names, the scheme of an Authorization, the names and attributes of cookies and subprotocols
        that are mere names stay readable.
        """
        return tuple((name, self._header_value(name.lower(), value)) for name, value in headers)

    def target(self, target: str) -> str:
        """Replace the values of parameters with the name of a secret; all else stays byte for byte."""
        path, mark, query = target.partition("?")
        if not mark:
            return target
        pieces = re.split(r"([&#])", query)
        return path + mark + "".join(self._parameter(piece) for piece in pieces)

    def url(self, url: str) -> str:
        """Replace the user and the password of a URL too, besides what `target` replaces."""
        userinfo = _USERINFO.match(url)
        if userinfo is None:
            return self.target(url)
        parts = [self._quoted_token(part) for part in userinfo[2].split(":", 1)]
        return userinfo[1] + ":".join(parts) + "@" + self.target(url[userinfo.end() :])

    def _json_token(self, value: bytes) -> bytes:
        try:
            secret = json.loads(value).encode("utf-8", "surrogatepass") if value.startswith(b'"') else value
        except ValueError:
            # Not a JSON string after all; a secret it is in any case.
            secret = value
        return b'"' + self.token(secret) + b'"'

    def _text_token(self, secret: str) -> str:
        return self.token(_bytes(secret)).decode() if secret else ""

    def _quoted_token(self, quoted: str) -> str:
        """Make the token of what stands in a URL, the same however it is percent-encoded."""
        return self.token(unquote_to_bytes(_bytes(quoted))).decode() if quoted else ""

    def _header_value(self, name: str, value: str) -> str:
        if name in _SCHEMED_HEADERS or name in _URL_HEADERS:
            return self.url(value) if name in _URL_HEADERS else self._schemed(value)
        if name == "cookie":
            return ";".join(self._cookie(pair) for pair in value.split(";"))
        if name == "set-cookie":
            pair, semicolon, attributes = value.partition(";")
            return self._cookie(pair) + semicolon + attributes
        if name == _SUBPROTOCOLS:
            return self._subprotocols(value)
        plain = name.startswith(_HANDSHAKE_PREFIX) or not _names_secret(name)
        return value if plain else self._text_token(value)

    def _schemed(self, value: str) -> str:
        parts = _SCHEMED.fullmatch(value)
        return parts[1] + self._text_token(parts[2]) + parts[3] if parts else self._text_token(value)

    def _cookie(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        if equals:
            return name + equals + self._text_token(value)
        margin = pair[: len(pair) - len(pair.lstrip())]
        return margin + self._text_token(pair.lstrip())

    def _subprotocols(self, value: str) -> str:
        """Replace what clients that cannot set headers, browsers above all, put among the subprotocols."""
        redacted: list[str] = []
        announced = False
        for element in value.split(","):
            name = element.strip()
            secret = _secret_tail(name, announced=announced)
            start = element.index(name)
            end = start + len(name)
            redacted.append(element[: end - len(secret)] + self._text_token(secret) + element[end:])
            announced = _announces_secret(name) and (announced or not secret)
        return ",".join(redacted)

    def _parameter(self, piece: str) -> str:
        done = ""
        # A semicolon parts parameters too, for some servers; the value of a secret goes beyond it, for others.
        while True:
            name, equals, value = piece.partition("=")
            plain, semicolon, rest = piece.partition(";")
            if equals and ";" not in name and _names_secret(_unquoted(name)):
                return done + name + equals + self._quoted_token(value)
            if not semicolon:
                return done + piece
            done, piece = done + plain + semicolon, rest


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(name)]


def _names_secret(name: str) -> bool:
    words = _words(name)
    return any(map(_SECRET_WORD.fullmatch, words)) or _SECRET_ENDING.search("".join(words)) is not None


def _announces_secret(subprotocol: str) -> bool:
    """Whether the next subprotocol is a credential: `bearer`, `access_token`, not `v1.auth.example`."""
    return _names_secret(subprotocol) and len(_words(subprotocol)) <= _ANNOUNCING_WORDS


def _bytes(text: str) -> bytes:
    # Header fields that are no UTF-8 may come as lone surrogates; whatever they hold has to come through.
    return text.encode("utf-8", "surrogatepass")


def _unquoted(text: str) -> str:
    return unquote_to_bytes(_bytes(text)).decode("utf-8", "replace")


def _secret_tail(subprotocol: str, *, announced: bool) -> str:
    """
    Find the part of a subprotocol that is a credential, up to its end; empty for a mere name.

    `announced`: the subprotocol before it says that a credential follows, as in `bearer, <credential>`.
    """
    if announced or _JWT.fullmatch(subprotocol) or _RANDOM.fullmatch(subprotocol):
        return subprotocol
    prefix, _, tail = subprotocol.rpartition(".")
    jwt = _JWT.search(subprotocol)
    if jwt and jwt.end() == len(subprotocol):
        return jwt[0]
    return tail if _names_secret(prefix) and len(tail) >= _LONG_TAIL_CHARS else ""
