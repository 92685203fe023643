"""The opening handshake of one connection: read, and answered as a fault has it or as it was recorded."""

import http
from collections.abc import Callable

from websockets.http11 import Request, Response

from wiretape_replay.engine import ReplaySession
from wiretape_replay.fault_plan import HandshakeFate
from wiretape_replay.handshakes import Handshakes, accept, no_session_left, refuse, refused_by_fault
from wiretape_replay.script import Script
from wiretape_replay.stand import Admission, Driver, Stand
from wiretape_store.records import EndKind, Headers, Session

_END_OF_HEAD = b"\r\n\r\n"
_LONGEST_HEAD = 128 * 1024


class Opening:
    """
    The beginning of a connection.

    `feed` it until it says that the handshake is whole, then `answer` it, `delay_us` later. What is to be
    sent stands in the library; `resets` says that TCP is reset instead. `now_us` tells the connection's time.
    """

    def __init__(
        self, stand: Stand, driver: Driver, websocket: Handshakes, now_us: Callable[[], int]
    ) -> None:
        self._stand = stand
        self._driver = driver
        self._websocket = websocket
        self._now_us = now_us
        self._received = bytearray()
        self._whole = False
        self._request: Request | None = None
        self._response: Response | None = None
        """The library's answer to a request; both are unset where it is none, or not whole."""
        self._fate = HandshakeFate()
        self.admission: Admission | None = None
        """Unset where no session is set aside or taken for the connection."""
        self.script: Script | None = None
        self.session: ReplaySession | None = None
        """Both are unset before the handshake is accepted, and where it is refused."""
        self.resets = False

    @property
    def delay_us(self) -> int:
        """How long a fault delays the answer."""
        return self._fate.delay_us

    @property
    def full(self) -> bool:
        """Whether the client has sent more than enough before it was answered."""
        return len(self._received) > _LONGEST_HEAD

    @property
    def recorded(self) -> Session:
        """The recorded session, of a handshake that was accepted."""
        assert self.admission is not None
        assert self.admission.session is not None
        return self.admission.session

    @property
    def target(self) -> str:
        """The path and query that were asked for."""
        assert self._request is not None
        return self._request.path

    @property
    def headers(self) -> Headers:
        """The headers of the request."""
        assert self._request is not None
        return tuple(self._request.headers.raw_items())

    def feed(self, data: bytes) -> bool:
        """Read on; True when the handshake is whole, right now."""
        self._received += data
        if self._whole:
            return False  # what a client sends without waiting for the answer is read after it
        end = self._received.find(_END_OF_HEAD)
        if end < 0 and len(self._received) < _LONGEST_HEAD:
            return False
        size = end + len(_END_OF_HEAD) if end >= 0 else len(self._received)
        self._whole = True
        self._websocket.receive_data(bytes(self._received[:size]))
        del self._received[:size]
        for event in self._websocket.events_received():
            if isinstance(event, Request):
                self._admit(event)
        return True

    def answer(self) -> None:
        """Hand the answer to the library; where the client sent no request, it has answered itself."""
        if self._response is None:
            return
        if self._response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS:
            self._answer_valid(self._response)
        else:
            self._websocket.send_response(self._response)

    def take_rest(self) -> bytes:
        """What the client has sent behind its handshake, which nobody needs any more."""
        rest, self._received = bytes(self._received), bytearray()
        self._request = self._response = None
        return rest

    def abandon(self) -> None:
        """The client has gone: a session that waits for the answer is there for others."""
        if self.admission is not None and self.session is None:
            self._stand.give_back(self.admission)

    def _admit(self, request: Request) -> None:
        admission = self._stand.admit(request.path)
        self._request = request
        if admission.session is None:
            self._response = no_session_left(*self._stand.describe())
            self._stand.refused("no session is left", admission)
            return
        self._response = accept(self._websocket, request, admission.session.handshake)
        if self._response.status_code == http.HTTPStatus.SWITCHING_PROTOCOLS:
            self.admission = admission
            self._fate = self._stand.fate(admission, self._now_us())

    def _answer_valid(self, response: Response) -> None:
        assert self.admission is not None
        session, refusal = self.recorded, self._fate.refusal
        # Not by the end alone: a recorder that died early left none, but the upstream's answer is known.
        status = session.handshake.status
        if refusal is not None:
            self.resets = refusal.status is None
            response = response if refusal.status is None else refused_by_fault(refusal.status)
        elif status is None or session.end.kind is EndKind.UNREACHABLE:
            self.resets = True
            self._stand.refused("reset: the upstream was unreachable, as recorded", self.admission)
        elif status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            response = refuse(session.handshake)
            self._stand.refused(f"status {response.status_code}, as recorded", self.admission)
        else:
            self.script, self.session = self._stand.begin(
                self._driver, self.admission, self.target, self.headers
            )
        if not self.resets:
            self._websocket.send_response(response)
