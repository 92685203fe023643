"""
The OpenAPI document of the control API, made from the tables that the API itself works by.

`python -m wiretape_replay.control > docs/openapi.json` writes the copy in the documentation.
"""

import json
import re
from http import HTTPStatus
from typing import Any

from wiretape_replay.control.operations import OPERATIONS, Operation
from wiretape_replay.control.schemas import PARAMETERS, SCHEMAS

Object = dict[str, Any]

_ERRORS = {
    HTTPStatus.BAD_REQUEST: "What was sent is not what the operation takes; the message names the member.",
    HTTPStatus.UNAUTHORIZED: "The token is missing or wrong.",
    HTTPStatus.FORBIDDEN: "The Host or Origin header is another server's.",
    HTTPStatus.NOT_FOUND: "There is no such run or recording.",
    HTTPStatus.REQUEST_TIMEOUT: "What was waited for did not come in time.",
    HTTPStatus.CONFLICT: "It cannot be done now; the message says what is in the way.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than the server takes.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not JSON.",
}
_EVERYWHERE = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_WITH_BODY = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def document() -> Object:
    """The whole document."""
    paths: Object = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wiretape control API",
            "version": "1",
            "description": "Runs of recordings: begun, steered, watched and ended. docs/control.md has examples.",
        },
        "servers": [{"url": "http://127.0.0.1:9001"}],
        # An empty requirement beside the token: a server that only this machine reaches needs none.
        "security": [{"token": []}, {}],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> Object:
    described: Object = {"operationId": operation.name, "summary": operation.summary}
    names = re.findall(r"{(\w+)}", operation.path)
    parameters = [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": PARAMETERS[name]}
        for name in operation.query
    ]
    if operation.events:
        parameters.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "schema": PARAMETERS["after"] | {"description": "As `after`, which it overrules."},
            }
        )
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body != "Nothing",
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
    described["responses"] = _responses(operation)
    return described


def _responses(operation: Operation) -> Object:
    schema = _reference(operation.answer) if operation.answer else {"type": "object"}
    media_type = "text/event-stream" if operation.events else "application/json"
    about = "Events with such objects as their data." if operation.events else "It was done."
    responses: Object = {
        str(operation.status.value): {"description": about, "content": {media_type: {"schema": schema}}}
    }
    statuses = {*_EVERYWHERE, *operation.errors, *(_WITH_BODY if operation.body is not None else ())}
    for status in sorted(statuses):
        responses[str(status.value)] = {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": _reference("Error")}},
        }
    return responses


def _reference(name: str) -> Object:
    return {"$ref": f"#/components/schemas/{name}"}


DOCUMENT = document()


def as_text() -> str:
    """The document as it stands in `docs/openapi.json`."""
    return json.dumps(DOCUMENT, indent=2) + "\n"
