"""
The path of one request through the simulated node: read, refuse or dispatch, answer.

No sockets: bytes in, an `Answer` out. Early refusals carry no Id, handlers' answers do.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wiretape.simulators.ontology_actions import Call, RefusalError, actions, coerce
from wiretape.simulators.ontology_wire import ErrorCode, decode, pack_answer, pack_early_error

if TYPE_CHECKING:
    from wiretape.simulators.ontology_chain import Chain
    from wiretape.simulators.ontology_render import Generation
    from wiretape.simulators.ontology_sessions import Subscription
    from wiretape.simulators.ontology_transactions import Receipt


@dataclass(frozen=True)
class Answer:
    """What a request led to."""

    text: str
    refreshes: bool  # whether it counts as activity of the session
    sent_hash: str | None = None  # the transaction that entered the pool
    pre_executed: tuple[Receipt, ...] = ()


@dataclass
class Desk:
    """Answers requests on one chain."""

    chain: Chain
    generation: Generation
    # Scripted failures by action, in the order to be used.
    failures: dict[str, deque[RefusalError]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._handlers = actions(self.generation)

    def fail_next(self, action: str, failure: RefusalError) -> None:
        """Let the next call of an action fail; several queue up. Raises ValueError for no such action."""
        if action not in self._handlers:
            msg = f"the {self.generation} node has no action {action!r}"
            raise ValueError(msg)
        self.failures.setdefault(action, deque()).append(failure)

    def answer(self, message: bytes, subscription: Subscription, session_count: int) -> Answer:
        """
        Answer one request, changing the chain's pool or the subscription when the action does.

        Raises HandlerPanicError when the node would drop the connection instead.
        """
        try:
            request = decode(message)
        except ValueError:
            return Answer(pack_early_error(ErrorCode.ILLEGAL_DATAFORMAT), refreshes=False)
        if request is not None and not isinstance(request, dict):
            return Answer(pack_early_error(ErrorCode.ILLEGAL_DATAFORMAT), refreshes=False)
        action = request.get("Action") if request else None
        if request is None or not isinstance(action, str) or action not in self._handlers:
            return Answer(pack_early_error(ErrorCode.INVALID_METHOD), refreshes=False)
        if any(not isinstance(request.get(key), str | None) for key in ("Hash", "Addr", "Assetid")):
            return Answer(pack_early_error(ErrorCode.INVALID_PARAMS), refreshes=True)
        call = Call(coerce(request), self.chain, self.generation, subscription, session_count)
        return self._dispatch(action, call)

    def _dispatch(self, action: str, call: Call) -> Answer:
        request_id = call.request.get("Id")
        try:
            if self.failures.get(action):
                raise self.failures[action].popleft()
            result = self._handlers[action](call)
        except RefusalError as refusal:
            text = pack_answer(action, refusal.code, request_id, refusal.result)
            return Answer(text, refreshes=True)
        text = pack_answer(action, ErrorCode.SUCCESS, request_id, result)
        sent_hash = result if action == "sendrawtransaction" and isinstance(result, str) else None
        return Answer(text, refreshes=True, sent_hash=sent_hash, pre_executed=tuple(call.pre_executed))
