"""What the simulated node remembers of its clients: subscriptions, idle times, who sent which transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from websockets.asyncio.server import ServerConnection

SENDER_KEPT_S: Final = 60  # older entries go when the same session sends the next transaction


@dataclass
class Subscription:
    """The pushes a session asked for; requests merge into it."""

    contracts: list[str] | None = None  # None until a filter was sent; an empty one lets everything pass
    event: bool = False
    json_block: bool = False
    raw_block: bool = False
    block_tx_hashs: bool = False

    def merge(self, request: dict[str, object], filter_key: str) -> None:
        """Take over the keys that are present with the right type, and leave the others alone."""
        for key, name in _FLAGS.items():
            value = request.get(key)
            if isinstance(value, bool):
                setattr(self, name, value)
        contracts = request.get(filter_key)
        if isinstance(contracts, list):
            self.contracts = [contract for contract in contracts if isinstance(contract, str)]

    def state(self, filter_key: str) -> dict[str, object]:
        """Return the state as heartbeat and subscribe answer it."""
        flags: dict[str, object] = {key: getattr(self, name) for key, name in _FLAGS.items()}
        return {filter_key: self.contracts, **flags}

    def wants_event(self, contracts: AbstractSet[str]) -> bool:
        """Tell whether an event of these contracts (lower-case hex) is to be pushed."""
        return self.event and (not self.contracts or not contracts.isdisjoint(self.contracts))


_FLAGS: Final = {
    "SubscribeEvent": "event",
    "SubscribeJsonBlock": "json_block",
    "SubscribeRawBlock": "raw_block",
    "SubscribeBlockTxHashs": "block_tx_hashs",
}


@dataclass(eq=False)
class Session:
    """One connection."""

    connection: ServerConnection
    active_s: float  # clock reading of the last request that reached a handler
    subscription: Subscription = field(default_factory=Subscription)


@dataclass
class Senders:
    """Who is owed the first event of a transaction, subscribed or not; the last sender of a hash wins."""

    _entries: dict[str, tuple[Session, float]] = field(default_factory=dict)

    def register(self, tx_hash: str, session: Session, now_s: float) -> None:
        """Note a sent transaction, and forget the session's entries older than a minute."""
        stale = [
            known
            for known, (sender, sent_s) in self._entries.items()
            if sender is session and now_s - sent_s > SENDER_KEPT_S
        ]
        for known in stale:
            del self._entries[known]
        self._entries[tx_hash] = (session, now_s)

    def take(self, tx_hash: str) -> Session | None:
        """Return the session to tell about this transaction, once."""
        entry = self._entries.pop(tx_hash, None)
        return entry[0] if entry else None

    def forget(self, session: Session) -> None:
        """Drop everything of a session that ended."""
        self._entries = {known: entry for known, entry in self._entries.items() if entry[0] is not session}
