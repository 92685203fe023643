"""What a request gets that cannot be served: a status, a code for programs and a sentence for people."""

from http import HTTPStatus

from wiretape_protocols import WiretapeError


class RequestError(WiretapeError):
    """A request that is answered with an error; `code` is what programs compare."""

    def __init__(self, status: HTTPStatus, code: str, sentence: str) -> None:
        """Say in one sentence what was wrong, where, and what to do."""
        super().__init__(status, code, sentence)
        self.status = status
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        """Make one sentence of the facts."""
        return self.sentence

    def to_object(self) -> dict[str, object]:
        """The body of the answer."""
        return {"error": {"code": self.code, "message": self.sentence}}


class MalformedError(RequestError):
    """What was sent is not what the operation takes; the sentence names the member."""

    def __init__(self, sentence: str, code: str = "malformed") -> None:
        """Say which member is wrong, and what it must be."""
        super().__init__(HTTPStatus.BAD_REQUEST, code, sentence)


class ConflictError(RequestError):
    """A request that makes sense, but not now."""

    def __init__(self, code: str, sentence: str) -> None:
        """Say why not now, and what to do first."""
        super().__init__(HTTPStatus.CONFLICT, code, sentence)
