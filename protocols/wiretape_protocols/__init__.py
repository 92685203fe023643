"""What bytes and messages mean: codecs, JSON spans, redaction and the adapters of the upstreams."""

from wiretape_protocols.adapter import Conversation, MethodInfo, Protocol, Relaxed, Reply, Request, Role
from wiretape_protocols.codec_proof import Prover
from wiretape_protocols.codecs import (
    IDENTITY,
    Codec,
    CodecError,
    CodecKind,
    Decoded,
    Limits,
    decode,
    deflater_fingerprint,
    encode,
)
from wiretape_protocols.errors import WiretapeError
from wiretape_protocols.json_spans import Span, element_spans, member_span, splice, value_span
from wiretape_protocols.json_values import (
    canonical,
    id_spelling,
    match_key,
    method_name,
    read_reply,
    read_request,
    reply_id,
)
from wiretape_protocols.messages import Opcode
from wiretape_protocols.opaque import UNREADABLE, unreadable
from wiretape_protocols.outstanding import Outstanding, Waiting
from wiretape_protocols.redaction import Redactor
from wiretape_protocols.redaction_rules import (
    RedactionRule,
    RuleError,
    doubts_about,
    parse_rules,
    require_values,
    rules_of,
)
from wiretape_protocols.registry import (
    DEFAULT_PROTOCOL,
    BrokenProtocolError,
    UnknownProtocolError,
    protocol_named,
    protocol_names,
    protocols,
)
from wiretape_protocols.session_redaction import SessionRedaction, comparable_target

__all__ = [
    "DEFAULT_PROTOCOL",
    "IDENTITY",
    "UNREADABLE",
    "BrokenProtocolError",
    "Codec",
    "CodecError",
    "CodecKind",
    "Conversation",
    "Decoded",
    "Limits",
    "MethodInfo",
    "Opcode",
    "Outstanding",
    "Protocol",
    "Prover",
    "RedactionRule",
    "Redactor",
    "Relaxed",
    "Reply",
    "Request",
    "Role",
    "RuleError",
    "SessionRedaction",
    "Span",
    "UnknownProtocolError",
    "Waiting",
    "WiretapeError",
    "canonical",
    "comparable_target",
    "decode",
    "deflater_fingerprint",
    "doubts_about",
    "element_spans",
    "encode",
    "id_spelling",
    "match_key",
    "member_span",
    "method_name",
    "parse_rules",
    "protocol_named",
    "protocol_names",
    "protocols",
    "read_reply",
    "read_request",
    "reply_id",
    "require_values",
    "rules_of",
    "splice",
    "unreadable",
    "value_span",
]
