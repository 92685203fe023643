"""
What the members of a JSON message are usually called.

Owns the guesses of the generic adapter: which member is the id, which the method, and what a
method does, by its words alone.
"""

import re
from collections.abc import Iterable, Mapping

from wiretape_protocols.adapter import Role

# An explicit request id goes before a plain one, which may be that of a trade or an order.
ID_NAMES = ("req_id", "reqId", "reqid", "request_id", "requestId", "id", "Id", "ID")
METHOD_NAMES = ("method", "op", "action", "Action", "cmd", "command", "type", "event", "request")

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def words(method: str) -> Iterable[str]:
    """The words of a name in lower case: `eth_getBalance` has eth, get and balance."""
    return (word.lower() for word in _WORD.findall(method))


_ROLES = {
    "subscribe": Role.SUBSCRIBE,
    "sub": Role.SUBSCRIBE,
    "unsubscribe": Role.UNSUBSCRIBE,
    "unsub": Role.UNSUBSCRIBE,
    "auth": Role.AUTH,
    "authenticate": Role.AUTH,
    "login": Role.AUTH,
    "logon": Role.AUTH,
}
_READING = frozenset(
    words(
        "balance block count depth describe exists fetch find get health height history info is list lookup"
        " number ping query read search show stats status symbols ticker tickers time version"
    )
)
_WRITING = frozenset(
    words(
        "add amend approve buy cancel clear close commit create delete deposit edit execute insert mint modify"
        " move open order pay place post publish put remove rename replace reset sell send set sign start stop"
        " submit swap trade transfer update upload withdraw write"
    )
)


def id_member(message: Mapping[str, object]) -> str | None:
    """The name of the member that is the request's id; None where no member is."""
    for name in ID_NAMES:
        value = message.get(name)
        if value is not None and not isinstance(value, bool | list | dict):
            return name
    return None


def method_member(message: Mapping[str, object]) -> str | None:
    """The name of the member that says what a message is for; None where no member does."""
    return next((name for name in METHOD_NAMES if isinstance(message.get(name), str)), None)


def role_of(method: str) -> Role:
    """What a request is for, by the words of its method."""
    return next((role for word in words(method) if (role := _ROLES.get(word))), Role.CALL)


def has_effects(method: str) -> bool:
    """
    Whether a method must be taken to change the world: all but those that are named like a reader.

    Taking a reader for a writer costs a miss that the journal names. Taking a writer for a reader
    could send an order to an exchange for the second time.
    """
    found = set(words(method))
    if role_of(method) is not Role.CALL:
        return False
    return bool(found & _WRITING) or not found & _READING
