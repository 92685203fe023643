"""
The error codes of the Ontology node.

Owns which there are and the text that goes with each in `Desc`: words with spaces between them,
where the published document has underscores.
"""

from dataclasses import dataclass

SESSION_EXPIRED = 41001
INTERNAL_ERROR = 45001


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One code of `Error`."""

    code: int
    desc: str
    """The text in `Desc`; empty where the node has none."""
    meaning: str
    documented: bool = True
    sent: bool = True
    """False where the node defines the code and never sends it on a WebSocket."""


# The transaction pool's own codes, under the names that `Desc` has or would have for them. Those
# from 45015 on were added without a text.
_POOL_NAMES = {
    -1: "ErrUnknown",
    45002: "ErrDuplicatedTx",
    45003: "ErrDuplicateInput",
    45004: "ErrAssetPrecision",
    45005: "ErrTransactionBalance",
    45006: "ErrAttributeProgram",
    45007: "ErrTransactionContracts",
    45008: "ErrTransactionPayload",
    45009: "ErrDoubleSpend",
    45010: "ErrTxHashDuplicate",
    45011: "ErrStateUpdaterVaild",
    45012: "ErrSummaryAsset",
    45013: "ErrXmitFail",
    45014: "ErrNoAccount",
    45015: "ErrRetryExhausted",
    45016: "ErrTxPoolFull",
    45020: "ErrGasPrice",
    45021: "ErrVerifySignature",
    45022: "ErrHigherNonceExist",
    45023: "ErrETHTxGaslimitExceed",
    45024: "ErrSameNonceExist",
    45025: "ErrETHTxNonceToobig",
}
_LAST_WITH_TEXT = 45014


def _pool_error(code: int, name: str) -> ErrorCode:
    desc = f"INTERNAL ERROR, {name}" if code <= _LAST_WITH_TEXT else ""
    return ErrorCode(code, desc, f"the pool refused a transaction: {name}", documented=False)


ERROR_CODES = (
    ErrorCode(0, "SUCCESS", "no error"),
    ErrorCode(SESSION_EXPIRED, "SESSION EXPIRED", "five minutes without a request; the connection ends"),
    ErrorCode(41002, "SERVICE CEILING", "a limit of the service is reached", sent=False),
    ErrorCode(41003, "ILLEGAL DATAFORMAT", "the message is not a JSON object"),
    ErrorCode(41004, "INVALID VERSION", "the version is wrong; nobody checks it", sent=False),
    ErrorCode(42001, "INVALID METHOD", "no action, an unknown one, or one that is switched off"),
    ErrorCode(42002, "INVALID PARAMS", "a param is missing or of the wrong type"),
    ErrorCode(43001, "INVALID TRANSACTION", "the transaction cannot be read"),
    ErrorCode(43002, "INVALID ASSET", "the asset cannot be read", sent=False),
    ErrorCode(43003, "INVALID BLOCK", "the block cannot be read", sent=False),
    ErrorCode(44001, "UNKNOWN TRANSACTION", "no such transaction"),
    ErrorCode(44002, "UNKNOWN ASSET", "no such asset", sent=False),
    ErrorCode(44003, "UNKNOWN BLOCK", "no such block"),
    ErrorCode(44004, "UNKNOWN CONTRACT", "no such contract", documented=False),
    ErrorCode(INTERNAL_ERROR, "INTERNAL ERROR", "something failed inside the node; wiretape's own refusal"),
    ErrorCode(47001, "SMARTCODE EXEC ERROR", "a contract failed; `Result` has the text"),
    ErrorCode(47002, "SMARTCODE PREPARE EXEC ERROR", "a trial failed", documented=False, sent=False),
    *(_pool_error(code, name) for code, name in _POOL_NAMES.items()),
)
