"""
What is secret in an opening handshake and in URLs, which are the same for every protocol.

Owns which parts of header fields, targets and URLs are credentials. What a credential becomes is
for its caller: `redaction` makes tokens, and notes what it met to find it elsewhere.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from urllib.parse import unquote_to_bytes

from wiretape_protocols.secret_names import looks_random, names_secret, words_of

_SCHEMED = re.compile(r"(\s*\S+\s+)(\S.*?)(\s*)")
_URL_HEADERS = frozenset({"content-location", "location", "origin", "referer"})
_SCHEMED_HEADERS = frozenset({"authorization", "proxy-authorization"})
# RFC 6455's own fields: no secret is in them but the one that applications put among the subprotocols.
HANDSHAKE_PREFIX = "sec-websocket-"
SUBPROTOCOLS = "sec-websocket-protocol"

_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
# Subprotocols are names made of words; so long a run of digits and letters in both cases is a credential.
_RANDOM = re.compile(r"(?=.*[0-9])(?:(?=.*[a-z])(?=.*[A-Z])[\w+/=~-]{32,}|[0-9a-f]{32,}|[0-9A-F]{32,})")
# As in base64url.bearer.authorization.k8s.io.<credential>.
_LONG_TAIL_CHARS = 16
_ANNOUNCING_WORDS = 2

_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/?#]*)@")
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")

Note = Callable[[bytes], object]


def _ignore(_: bytes) -> None:
    return


class HandshakeRedaction:
    """
    Puts what `token` makes of them in the place of credentials.

    `note` is called with each one that says nothing but who the client is, so that it can be found
    elsewhere; a cookie, for one, may hold the name of a market as well.
    """

    def __init__(self, token: Callable[[bytes], bytes], note: Note = _ignore) -> None:
        self._token = token
        self._note = note

    def headers(
        self, headers: Sequence[tuple[str, str]], named: frozenset[str] = frozenset()
    ) -> tuple[tuple[str, str], ...]:
        """
        Replace the credentials in header fields, and all of the fields in `named` (lower case).

        Names, the scheme of an Authorization, the names and attributes of cookies and subprotocols
        that are mere names stay readable.
        """
        return tuple((name, self._header_value(name.lower(), value, named)) for name, value in headers)

    def target(self, target: str) -> str:
        """Replace parameters with the name of a secret and path segments that look like one, nothing else."""
        path, mark, query = target.partition("?")
        path = "/".join(map(self._segment, path.split("/")))
        if not mark:
            return path
        pieces = re.split(r"([&#])", query)
        return path + mark + "".join(self._parameter(piece) for piece in pieces)

    def url(self, url: str) -> str:
        """Replace the user and the password of a URL too, besides what `target` replaces."""
        userinfo = _USERINFO.match(url)
        if userinfo is None:
            authority = _AUTHORITY.match(url)
            start = authority.end() if authority else 0
            return url[:start] + self.target(url[start:])
        user, colon, password = userinfo[2].partition(":")
        parts = self._quoted(user, noted=not colon) + colon + self._quoted(password)
        rest = url[userinfo.end() :]
        end = re.match(r"[^/?#]*", rest)
        host = end[0] if end else ""
        return userinfo[1] + parts + "@" + host + self.target(rest[len(host) :])

    def _text(self, secret: str, *, noted: bool = True) -> str:
        if not secret:
            return ""
        if noted:
            self._note(_bytes(secret))
        return self._token(_bytes(secret)).decode()

    def _quoted(self, quoted: str, *, noted: bool = True) -> str:
        """Make the token of what stands in a URL, the same however it is percent-encoded."""
        if not quoted:
            return ""
        secret = unquote_to_bytes(_bytes(quoted))
        if noted:
            self._note(secret)
        return self._token(secret).decode()

    def _header_value(self, name: str, value: str, named: frozenset[str]) -> str:
        if name in named:
            return self._text(value)
        if name in _SCHEMED_HEADERS or name in _URL_HEADERS:
            return self.url(value) if name in _URL_HEADERS else self._schemed(value)
        if name == "cookie":
            return ";".join(self._cookie(pair) for pair in value.split(";"))
        if name == "set-cookie":
            pair, semicolon, attributes = value.partition(";")
            return self._cookie(pair) + semicolon + attributes
        if name == SUBPROTOCOLS:
            return self._subprotocols(value)
        plain = name.startswith(HANDSHAKE_PREFIX) or not names_secret(name)
        return value if plain else self._text(value)

    def _schemed(self, value: str) -> str:
        parts = _SCHEMED.fullmatch(value)
        if not parts:
            return self._text(value)
        if parts[1].strip().lower() == "basic" and (password := _basic_password(parts[2])):
            self._note(password)
        return parts[1] + self._text(parts[2]) + parts[3]

    def _cookie(self, pair: str) -> str:
        name, equals, value = pair.partition("=")
        if equals:
            return name + equals + self._text(value, noted=names_secret(name) or looks_random(value))
        margin = pair[: len(pair) - len(pair.lstrip())]
        return margin + self._text(pair.lstrip(), noted=False)

    def _subprotocols(self, value: str) -> str:
        """Replace what clients that cannot set headers, browsers above all, put among the subprotocols."""
        redacted: list[str] = []
        announced = False
        for element in value.split(","):
            name = element.strip()
            secret = _secret_tail(name, announced=announced)
            start = element.index(name)
            end = start + len(name)
            redacted.append(element[: end - len(secret)] + self._text(secret) + element[end:])
            announced = _announces_secret(name) and (announced or not secret)
        return ",".join(redacted)

    def _segment(self, segment: str) -> str:
        """Replace a key in a path, where several providers have it: /v3/<key>, /ws/<listen key>."""
        return self._quoted(segment) if _JWT.fullmatch(segment) or looks_random(segment) else segment

    def _parameter(self, piece: str) -> str:
        done = ""
        # A semicolon parts parameters too, for some servers; the value of a secret goes beyond it, for others.
        while True:
            name, equals, value = piece.partition("=")
            plain, semicolon, rest = piece.partition(";")
            if equals and ";" not in name and names_secret(_unquoted(name)):
                return done + name + equals + self._quoted(value)
            if not semicolon:
                return done + piece
            done, piece = done + plain + semicolon, rest


def _announces_secret(subprotocol: str) -> bool:
    """Whether the next subprotocol is a credential: `bearer`, `access_token`, not `v1.auth.example`."""
    return names_secret(subprotocol) and len(words_of(subprotocol)) <= _ANNOUNCING_WORDS


def _bytes(text: str) -> bytes:
    # Header fields that are no UTF-8 may come as lone surrogates; whatever they hold has to come through.
    return text.encode("utf-8", "surrogatepass")


def _unquoted(text: str) -> str:
    return unquote_to_bytes(_bytes(text)).decode("utf-8", "replace")


def _basic_password(credential: str) -> bytes:
    """The password of RFC 7617; empty where the credential is none."""
    try:
        return b64decode(credential, validate=True).partition(b":")[2]
    except (Base64Error, ValueError):
        return b""


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
    return tail if names_secret(prefix) and len(tail) >= _LONG_TAIL_CHARS else ""
