"""
One connection to the simulated Hotbit exchange, without the socket: requests in, texts out.

Owns the reading of a request, the user of the connection and the table of methods. Time is passed
in; framing, packing and the order of late replies are the business of ``hotbit``.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from wiretape.simulators.hotbit_exchange import Exchange, RefusedError, Step
from wiretape.simulators.hotbit_inquiries import INQUIRIES, PRIVATE_INQUIRIES, Inquiry
from wiretape.simulators.hotbit_params import Param, expect, integer, sign_text
from wiretape.simulators.hotbit_subscriptions import PRIVATE_KINDS, Subscriptions
from wiretape.simulators.hotbit_wire import BACKEND_INDENT, Json, failure, success

#: Carries out a method that answers at once: params and the time to the result.
type _Method = Callable[[list[Param], float], Json]

SUCCESS: Json = {"status": "success"}
#: The largest integer that the exchange's JSON parser takes, and the smallest is its opposite.
INTEGER_LIMIT = 2**63
SUBSCRIBABLE = ("kline", "price", "state", "today", "deals", "depth", "depths", "order", "asset")


@dataclass(frozen=True, slots=True)
class Request:
    """A well-formed request."""

    method: str
    params: list[Param]
    id: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What one message of the client leads to."""

    #: The reply, then the snapshots of a new subscription. Empty for what is met with silence.
    texts: tuple[str, ...] = ()
    #: The reply comes from a backend and other replies may overtake it.
    inquiry: bool = False
    #: The message was no request.
    malformed: bool = False


def parse_request(message: str | bytes) -> Request | None:
    """Read a request; None for bad JSON, an id that is no integer, or params that are no array."""
    try:
        document = json.loads(
            message, parse_int=_integer_64, parse_float=Decimal, parse_constant=_no_constant
        )
    except (ValueError, ArithmeticError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    method, params, request_id = (document.get(key) for key in ("method", "params", "id"))
    if not isinstance(method, str) or not isinstance(params, list) or type(request_id) is not int:
        return None
    return Request(method, params, request_id)


def _integer_64(text: str) -> int:
    value = int(text)
    if not -INTEGER_LIMIT <= value < INTEGER_LIMIT:
        msg = f"{text} does not fit into 64 bits"
        raise ValueError(msg)
    return value


def _no_constant(text: str) -> float:
    msg = f"{text} is no JSON"
    raise ValueError(msg)


class Session:
    """The state of one connection. Messages and steps are taken in the order of the calls."""

    def __init__(self, exchange: Exchange, rng: random.Random, *, indent_inquiries: bool | None) -> None:
        self._exchange = exchange
        self._rng = rng
        #: Whether backends write several lines; None draws it per reply.
        self._indent_inquiries = indent_inquiries
        self._subscriptions = Subscriptions(exchange, rng)
        #: None until the connection is authenticated.
        self._user_id: int | None = None
        #: Methods that answer at once.
        self._methods: dict[str, _Method] = {
            "server.ping": lambda _params, _now_s: "pong",
            "server.time": lambda _params, now_s: int(now_s),
            "server.auth": self._auth,
            "server.auth2": self._auth2,
            "server.sign": self._sign,
        }

    def receive(self, message: str | bytes, now_s: float) -> Answer:
        """Answer one message of the client."""
        request = parse_request(message)
        if request is None:
            return Answer(malformed=True)
        try:
            self._exchange.fail_if_planned(request.method)
            return self._dispatch(request, now_s)
        except RefusedError as exc:
            text = failure(request.id, exc.code, str(exc))
            return Answer((text,), inquiry=_is_inquiry(request.method))

    def pushes(self, now_s: float, step: Step) -> list[str]:
        """Return what a step of the exchange tells this connection."""
        return self._subscriptions.pushes(now_s, step, self._user_id)

    def _dispatch(self, request: Request, now_s: float) -> Answer:
        if request.method in self._methods:
            result = self._methods[request.method](request.params, now_s)
            return Answer((success(request.id, result),))
        if _is_inquiry(request.method):
            return self._inquire(request, now_s)
        kind, _, verb = request.method.partition(".")
        if request.method == "state.subscribeall" or (kind in SUBSCRIBABLE and verb == "subscribe"):
            self._check_user(kind)
            snapshots = self._subscriptions.subscribe(request.method, request.params, now_s)
            return Answer((success(request.id, SUCCESS), *snapshots))
        if kind in SUBSCRIBABLE and verb == "unsubscribe":
            self._check_user(kind)
            self._subscriptions.unsubscribe(kind)
            return Answer((success(request.id, SUCCESS),))
        return Answer()

    def _inquire(self, request: Request, now_s: float) -> Answer:
        inquiry = Inquiry(self._exchange, request.params, now_s)
        if request.method in INQUIRIES:
            result = INQUIRIES[request.method](inquiry)
        elif self._user_id is None:
            raise RefusedError(6)
        else:
            account = self._exchange.account(self._user_id, now_s)
            result = PRIVATE_INQUIRIES[request.method](inquiry, account)
        indent = BACKEND_INDENT if self._backend_indents() else 0
        return Answer((success(request.id, result, indent=indent),), inquiry=True)

    def _backend_indents(self) -> bool:
        if self._indent_inquiries is None:
            return self._rng.random() < 0.25
        return self._indent_inquiries

    def _check_user(self, kind: str) -> None:
        if kind in PRIVATE_KINDS and self._user_id is None:
            raise RefusedError(6)

    def _auth(self, params: list[Param], now_s: float) -> Json:
        expect(params, 2)
        api_key, sign = map(sign_text, params)
        return self._become(self._exchange.user_of_auth(api_key, sign), now_s)

    def _auth2(self, params: list[Param], now_s: float) -> Json:
        expect(params, 4)
        user_id, time_s, sign = integer(params[0]), integer(params[1]), sign_text(params[3])
        return self._become(self._exchange.user_of_auth2(user_id, time_s, sign, now_s), now_s)

    def _sign(self, params: list[Param], now_s: float) -> Json:
        expect(params, 3)
        access_id, authorization, tonce_ms = sign_text(params[0]), sign_text(params[1]), integer(params[2])
        user_id = self._exchange.user_of_sign(access_id, authorization, tonce_ms, now_s)
        return self._become(user_id, now_s)

    def _become(self, user_id: int, now_s: float) -> Json:
        if self._user_id not in (None, user_id):
            self._subscriptions.forget_user()
        self._user_id = user_id
        self._exchange.account(user_id, now_s)
        return SUCCESS


def _is_inquiry(method: str) -> bool:
    return method in INQUIRIES or method in PRIVATE_INQUIRIES
