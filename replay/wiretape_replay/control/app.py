"""The control API as an ASGI application: guards, routes, and every error as JSON."""

import logging
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Router
from starlette.types import Message, Receive, Scope, Send

from wiretape_protocols import WiretapeError
from wiretape_replay.control.errors import RequestError
from wiretape_replay.control.guard import Guard
from wiretape_replay.control.routes import Routes
from wiretape_replay.control.settings import ControlSettings
from wiretape_replay.errors import ListenError, NotPossibleError, SettingError, UnknownUpstreamError
from wiretape_replay.runs import Runs, TooManyRunsError, UnknownRunError
from wiretape_store import MissingStoreError, StoreError, UnknownRecordingError, UnknownSessionError
from wiretape_store.tapes import TapeError

_LOGGER = logging.getLogger(__name__)
_ANSWERS: tuple[tuple[type[WiretapeError], HTTPStatus, str], ...] = (
    (SettingError, HTTPStatus.BAD_REQUEST, "malformed"),
    (TapeError, HTTPStatus.BAD_REQUEST, "bad_tape"),
    (UnknownUpstreamError, HTTPStatus.BAD_REQUEST, "unknown_upstream"),
    (UnknownRunError, HTTPStatus.NOT_FOUND, "unknown_run"),
    (UnknownRecordingError, HTTPStatus.NOT_FOUND, "unknown_recording"),
    (UnknownSessionError, HTTPStatus.NOT_FOUND, "unknown_recording"),
    (MissingStoreError, HTTPStatus.NOT_FOUND, "unknown_recording"),
    (TooManyRunsError, HTTPStatus.CONFLICT, "too_many_runs"),
    (ListenError, HTTPStatus.CONFLICT, "address_in_use"),
    (NotPossibleError, HTTPStatus.CONFLICT, "not_possible"),
    (StoreError, HTTPStatus.INTERNAL_SERVER_ERROR, "store"),
    (WiretapeError, HTTPStatus.CONFLICT, "not_possible"),
)
"""What the errors of the other packages are answered with; the first that fits counts."""

_ROUTING = {
    HTTPStatus.NOT_FOUND: ("not_found", "nothing is at this path"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method", "this path does not take this method"),
}


class ControlApp:
    """The application. Any exception of its own making ends one request, and is logged."""

    def __init__(self, runs: Runs, guard: Guard, settings: ControlSettings, version: str) -> None:
        self._guard = guard
        self._router = Router(Routes(runs, settings, version).all(), redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert scope["type"] == "http"
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        answer = None
        try:
            self._guard.check(dict(scope["headers"]))
            scope["app"] = self  # Starlette's router then raises for a path or method that is not there
            await self._router(scope, receive, sending)
        except ClientDisconnect:
            return
        except (HTTPException, WiretapeError) as exc:
            answer = _answer(exc)
        except Exception:
            _LOGGER.exception("a request to the control API failed")
            answer = _failed()
        if answer is not None and not begun:
            await answer(scope, receive, send)


def _answer(exc: HTTPException | WiretapeError) -> JSONResponse:
    error = exc if isinstance(exc, RequestError) else _request_error(exc)
    headers = dict(exc.headers or {}) if isinstance(exc, HTTPException) else {}
    if error.status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error.to_object(), error.status, headers)


def _request_error(exc: HTTPException | WiretapeError) -> RequestError:
    """What other people's errors mean to whoever sent the request."""
    if isinstance(exc, HTTPException):
        code, what = _ROUTING.get(HTTPStatus(exc.status_code), ("malformed", exc.detail))
        return RequestError(
            HTTPStatus(exc.status_code), code, f"{what}: GET /v1/openapi.json lists what there is"
        )
    status, code = next((status, code) for kind, status, code in _ANSWERS if isinstance(exc, kind))
    if isinstance(exc, TapeError):  # its path is none that the client knows
        where = "" if exc.line is None else f", line {exc.line}"
        return RequestError(status, code, f"the tape{where}: {exc.what}")
    return RequestError(status, code, str(exc))


def _failed() -> JSONResponse:
    sentence = "the server failed, and its standard error says how: please report that"
    error = RequestError(HTTPStatus.INTERNAL_SERVER_ERROR, "failed", sentence)
    return JSONResponse(error.to_object(), error.status)
