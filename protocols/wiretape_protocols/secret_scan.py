"""
Searching a finished text for what looks like a secret, as the last look before it is given away.

Owns the guesses: known formats, values of variables whose names say secret, members that are named
like one, credentials of URLs and headers, long random words. Tokens are none, and neither is what
public messages are full of: hashes, addresses, signatures, base64 that holds something else.
"""

import base64
import re
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from wiretape_protocols.codecs import CodecKind, decode
from wiretape_protocols.secret_formats import FORMATS
from wiretape_protocols.secret_guesses import NAME_PARTS, in_words, is_named_secret, is_spelled_out
from wiretape_protocols.secret_names import names_secret
from wiretape_protocols.secret_texts import encodings, spellings

_BLOCK_LINES = 256
_VARIABLE_WORDS = frozenset(
    [
        "token",
        "secret",
        "password",
        "passwd",
        "passphrase",
        "pass",
        "key",
        "apikey",
        "credential",
        "credentials",
        "auth",
        "mnemonic",
        "pwd",
    ]
)
_VALUE_CHARS = 8
_PLAIN_VALUE_CHARS = 16
_PUBLIC_TOKEN = re.compile(r"wt-[0-9a-f]{32}")
_HANDSHAKE_NONCE = re.compile(r"(?i)(sec-websocket-(?:key|accept)\W{1,6})[A-Za-z0-9+/]{20,40}={0,2}")
_BASE64_MEMBER = re.compile(r'("\w*base64"\s*:\s*")([A-Za-z0-9+/_=-]*)(?=")')
# A message of a HAR that was binary on the wire, as `wiretape_store.exports.har` begins its line.
_HAR_BINARY = re.compile(
    r'(\{"type": "(?:send|receive)", "time": [0-9.]+, "opcode": 2, "data": ")([\w+/=-]*)(?=")'
)
# How base64 of gzip begins, and of zlib with the usual window (RFC 1950, 2.2).
_PACKED = re.compile(r"(?<![\w+/=-])(?:H4sI|e[AFJN])[\w+/-]{16,}={0,2}")
_UNICODE = re.compile(r"\\u00([0-7][0-9a-fA-F])")

# A name and its value: members of JSON, pairs of header fields, parameters of URLs, lines of settings.
_PAIRS = (
    re.compile(r'"([\w.$-]{1,64})"\s*:\s*"([^"\s]{6,4096})"'),
    re.compile(r'\[\s*"([\w.$-]{1,64})"\s*,\s*"([^"]{6,4096})"\s*\]'),
    re.compile(r"[?&;\s]([\w.$-]{1,64})=([^&;#\s\"'\\]{6,4096})"),
)
# A password may be a number, a phrase has spaces: where the name leaves no doubt, both are secrets.
_PHRASES = re.compile(
    r'(?i)"([\w.$ -]{0,50}(?:password|passwd|passphrase|secret|mnemonic|seed[ _-]?phrase))"\s*:\s*'
    r'"?+((?<=")[^"]{6,4096}(?=")|(?<!")[0-9]{6,})'
)
_PHRASE_NAMES = ("passw", "passphrase", "secret", "mnemonic", "seed")
_SCHEMES = ("bearer", "basic", "digest", "apikey", "negotiate")
_SCHEMED = re.compile(
    r"(?i)(?<![\w-])(?:bearer|basic|digest|apikey|negotiate)\s+"
    r"(?!realm=)(?=[\w.~+/=-]*[0-9=])([\w.~+/=-]{12,})"
)
_USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/?#\"'@:]*:([^\s/?#\"'@]+)@")

Guess = tuple[str, str]
"""A rule, and the name of what it found."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that looks like a secret; it does not hold the secret itself."""

    line: int
    """Counts from 1."""
    rule: str
    what: str
    """Its name where it has one: a variable, a member, a header."""

    def __str__(self) -> str:
        named = f" {self.what}" if self.what else ""
        return f"line {self.line}: {self.rule}{named}"


def scan(lines: Iterable[str | bytes], environment: Mapping[str, str]) -> list[Finding]:
    """
    Look at each line of a text, in order; a line may come with or without its end.

    `environment` is searched for variables whose names say that they hold secrets.
    """
    variables = _secret_values(environment)
    found: dict[Finding, None] = {}
    numbered = enumerate(lines, 1)
    while block := [(number, _text_of(line)) for number, line in islice(numbered, _BLOCK_LINES)]:
        search = _Search(variables, "\n".join(text for _, text in block))
        for number, text in block:
            found |= dict.fromkeys(Finding(number, rule, what) for rule, what in search.line(text))
    return list(found)


class _Search:
    """What to look for in a block of lines: what does not stand in all of it is left out at once."""

    def __init__(self, variables: Mapping[str, Sequence[str]], block: str) -> None:
        both = block + _unescaped(block)
        lower = both.lower()
        # Nobody knows beforehand what is packed in base64.
        hidden = "base64" in lower or '"opcode": 2' in block or _PACKED.search(both) is not None
        self._variables = {
            name: spelled
            for name, spelled in variables.items()
            if hidden or any(each in both for each in spelled)
        }
        self._formats = [each for each in FORMATS if hidden or any(mark in both for mark in each.marks)]
        self._has_schemes = any(scheme in lower for scheme in _SCHEMES)
        self._has_nonces = "sec-websocket-" in lower

    def line(self, line: str) -> Iterator[Guess]:
        yield from self._variables_in(line)
        if message := _HAR_BINARY.match(line):
            yield from self._inside(_decoded(message[2])[0])
            line = message[1] + line[message.end() :]
        text = _unescaped(line)
        if "base64" in text:
            for member in _BASE64_MEMBER.finditer(text):
                yield from self._inside(_decoded(member[2])[0])
            text = _BASE64_MEMBER.sub(r"\1", text)
        insides: list[str] = []
        text = _PACKED.sub(lambda word: _taken_out(word[0], insides), text)
        for inside in insides:
            yield from self._inside(inside)
        text = _PUBLIC_TOKEN.sub("wt-", text) if "wt-" in text else text
        text = _HANDSHAKE_NONCE.sub(r"\1", text) if self._has_nonces else text
        yield from self._sure(text)
        yield from _named_in(text)
        for rule, what, word in in_words(text):
            inside, packed = _decoded(word)
            if packed:
                yield from self._inside(inside)
            else:
                yield rule, what
        if self._has_schemes and any(not each.startswith("wt-") for each in _SCHEMED.findall(text)):
            yield "authorization", ""

    def _inside(self, text: str) -> Iterator[Guess]:
        """What base64 held: not searched for mere randomness."""
        text = _unescaped(text)
        yield from self._sure(text)
        yield from _named_in(text)

    def _sure(self, text: str) -> Iterator[Guess]:
        yield from self._variables_in(text)
        for rule, marks, pattern in self._formats:
            if any(mark in text for mark in marks) and pattern.search(text):
                yield rule, ""

    def _variables_in(self, text: str) -> Iterator[Guess]:
        for name, spelled in self._variables.items():
            if any(each in text for each in spelled):
                yield "environment-variable", name


def _text_of(line: str | bytes) -> str:
    return line.decode("utf-8", "surrogateescape") if isinstance(line, bytes) else line


def _unescaped(line: str) -> str:
    r"""A line as it reads inside its strings, and inside the JSON in those: `\"` is a quote there."""
    text = line
    for _ in range(2):
        if "\\" not in text:
            return text
        text = text.replace('\\"', '"').replace("\\/", "/").replace("\\\\", "\\")
        text = _UNICODE.sub(lambda found: chr(int(found[1], 16)), text)
    # Line ends within a string part words.
    return text.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t")


def _decoded(text: str) -> tuple[str, bool]:
    """What base64 holds, unpacked, and whether there was anything to unpack."""
    altchars = b"-_" if {"-", "_"} & set(text) else None
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=altchars)
    except (Base64Error, ValueError):
        return "", False
    decoded = decode(data)
    is_packed = decoded.codec.kind is not CodecKind.IDENTITY
    return decoded.payload.decode("utf-8", "surrogateescape"), is_packed


def _taken_out(word: str, insides: list[str]) -> str:
    """Put what a word unpacks to to the others, and nothing in its place; any other word stays."""
    inside, packed = _decoded(word)
    if packed:
        insides.append(inside)
    return "" if packed else word


def _secret_values(environment: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The values to look for by the names of their variables, in every spelling."""
    found: dict[str, tuple[str, ...]] = {}
    for name in sorted(environment):
        value = environment[name].strip()
        if _is_telling(value) and (_VARIABLE_WORDS & set(name.lower().split("_")) or names_secret(name)):
            raw = value.encode("utf-8", "surrogateescape")
            every = (*spellings(raw), *encodings(raw))
            found[name] = tuple(each.decode("utf-8", "surrogateescape") for each in every)
    return found


def _is_telling(value: str) -> bool:
    """Whether a variable's value may be a secret: no path, no setting such as `wayland` or `22`."""
    if len(value) < _VALUE_CHARS or value.startswith(("/", "~/", "./", "unix:")):
        return False
    return len(value) >= _PLAIN_VALUE_CHARS or not (value.isalpha() or value.isdecimal())


def _named_in(text: str) -> Iterator[Guess]:
    lower = text.lower()
    for pattern in _PAIRS if any(part in lower for part in NAME_PARTS) else ():
        for name, value in pattern.findall(text):
            if is_named_secret(name, value):
                yield "named-secret", name
    if any(part in lower for part in _PHRASE_NAMES):
        for name, value in _PHRASES.findall(text):
            if is_spelled_out(value):
                yield "named-secret", name
    if "://" in text and any(not each.startswith("wt-") for each in _USERINFO.findall(text)):
        yield "url-password", ""
