"""The small tapes for writers of other languages: what each means, and why each bad one is refused."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from store_builders import a_writer
from tape_builders import exported, stored

from wiretape_protocols import decode, deflater_fingerprint
from wiretape_store import Event, IncomingMessage, IncomingSession, StoreReader, import_recording
from wiretape_store.tapes import TapeError, read_tape

ROOT = Path(__file__).parent.parent.parent
TAPES = ROOT / "tests" / "data" / "tapes"
VALID = sorted((TAPES / "valid").glob("*.tape"))
REFUSALS: dict[str, dict[str, Any]] = json.loads((TAPES / "invalid" / "refusals.json").read_text())
SCHEMA = Draft202012Validator(json.loads((ROOT / "docs" / "tape.schema.json").read_text()))
# The build of zlib by which the expected bytes of packed messages were made.
MADE_WITH_ZLIB = "717a1f4e"


def meaning(tape: Path) -> Any:
    return json.loads(tape.with_suffix(".json").read_text())


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def item_as_told(item: IncomingMessage | Event) -> dict[str, Any]:
    if isinstance(item, Event):
        told: dict[str, Any] = {"event": item.kind.value, "data_base64": encoded(item.data)}
    else:
        assert item.decoded is not None
        told = {
            "opcode": item.opcode.name.lower(),
            "payload_base64": encoded(item.decoded.payload),
            "codec": item.decoded.codec.kind.value,
            "wire_base64": encoded(item.wire),
            "deflated": item.deflated,
            "redacted": item.redacted,
        }
    return {"at_us": item.at_us, "from_client": item.from_client} | told


def session_as_told(session: IncomingSession) -> dict[str, Any]:
    handshake, end = session.handshake, session.end
    return {
        "upstream": session.upstream,
        "started_at_us": session.started_at_us,
        "ended_at_us": session.ended_at_us,
        "target": handshake.target,
        "status": handshake.status,
        "request_headers": [list(field) for field in handshake.request_headers],
        "response_headers": [list(field) for field in handshake.response_headers],
        "body_base64": encoded(handshake.body),
        "items": [item_as_told(item) for item in session.items],
        "end": {
            "kind": end.kind.value,
            "from_client": end.from_client,
            "code": end.code,
            "reason": end.reason,
        },
    }


def without_packed_bytes(sessions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The sessions as another zlib may pack them: the payloads that their bytes unpack to."""
    for session in sessions:
        for item in session["items"]:
            if "wire_base64" in item:
                payload = decode(base64.b64decode(item["wire_base64"])).payload
                item["wire_base64"] = encoded(payload)
    return sessions


@pytest.mark.parametrize("tape", VALID, ids=lambda tape: tape.stem)
def test_a_valid_tape_means_what_is_written_beside_it(tape: Path) -> None:
    expected = meaning(tape)

    recording = read_tape(tape)
    sessions = [session_as_told(session) for session in recording.sessions]

    assert recording.name == expected["recording"]
    if deflater_fingerprint() == MADE_WITH_ZLIB:
        assert sessions == expected["sessions"]
    assert without_packed_bytes(sessions) == without_packed_bytes(expected["sessions"])


@pytest.mark.parametrize("tape", VALID, ids=lambda tape: tape.stem)
def test_a_canonical_tape_is_exported_as_it_was_imported(tape: Path, tmp_path: Path) -> None:
    first = exported(stored(tmp_path / "a.db", read_tape(tape)), "example")
    again = tmp_path / "again.tape"
    again.write_bytes(first)

    assert exported(stored(tmp_path / "b.db", read_tape(again)), "example") == first
    if deflater_fingerprint() == MADE_WITH_ZLIB:
        assert (first == tape.read_bytes()) == meaning(tape)["canonical"]


@pytest.mark.parametrize("tape", VALID, ids=lambda tape: tape.stem)
def test_the_schema_takes_every_line_of_a_valid_tape(tape: Path) -> None:
    lines = [json.loads(text) for text in tape.read_text().splitlines() if text.strip()]

    assert lines
    for line in lines:
        SCHEMA.validate(line)


def test_every_invalid_tape_has_its_refusal() -> None:
    assert sorted(REFUSALS) == sorted(tape.stem for tape in (TAPES / "invalid").glob("*.tape"))


@pytest.mark.parametrize("name", REFUSALS)
def test_an_invalid_tape_is_refused_for_its_reason(name: str, tmp_path: Path) -> None:
    tape = TAPES / "invalid" / f"{name}.tape"
    refusal = REFUSALS[name]

    with a_writer(tmp_path / "a.db") as writer, pytest.raises(TapeError) as caught:
        import_recording(writer, read_tape(tape))

    assert caught.value.line == refusal["line"]
    assert refusal["reason"] in str(caught.value)
    where = "" if refusal["line"] is None else f", line {refusal['line']}"
    assert str(caught.value).startswith(f"tape {tape}{where}: ")
    with StoreReader(str(tmp_path / "a.db")) as reader:
        assert reader.recordings() == []
        assert reader.sessions() == []


@pytest.mark.parametrize("name", [name for name, refusal in REFUSALS.items() if refusal["schema"]])
def test_the_schema_refuses_the_line_too(name: str) -> None:
    lines = (TAPES / "invalid" / f"{name}.tape").read_text().splitlines()

    assert not SCHEMA.is_valid(json.loads(lines[REFUSALS[name]["line"] - 1], parse_int=float))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA.schema)
