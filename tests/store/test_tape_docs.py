"""The page about tapes shows a tape, and says what the code does."""

import json
import re
from pathlib import Path

from jsonschema import Draft202012Validator
from tape_builders import exported, stored

from wiretape_protocols import deflater_fingerprint
from wiretape_store import EndKind, EventKind
from wiretape_store.tapes import read_tape
from wiretape_store.tapes.parsing import VERSION
from wiretape_store.tapes.reading import LINE_BYTES
from wiretape_store.tapes.spelling import JSON_DEPTH

DOCS = Path(__file__).parent.parent.parent / "docs"
PAGE = (DOCS / "tape.md").read_text()
SCHEMA = json.loads((DOCS / "tape.schema.json").read_text())


def example() -> str:
    (found,) = re.findall(r"^```json lines\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found).replace("717a1f4e", deflater_fingerprint())


def test_the_example_is_a_tape_as_wiretape_writes_it(tmp_path: Path) -> None:
    tape = tmp_path / "example.tape"
    tape.write_text(example())

    assert exported(stored(tmp_path / "a.db", read_tape(tape)), "prices") == tape.read_bytes()


def test_the_schema_takes_the_example() -> None:
    validator = Draft202012Validator(SCHEMA)

    assert [line for line in example().splitlines() if not validator.is_valid(json.loads(line))] == []


def test_the_tables_have_the_members_of_the_schema_in_its_order() -> None:
    headings = {
        "header": "The recording (first line)",
        "session": "The beginning of a session",
        "message": "A message",
        "event": "An event",
        "end": "The end of a session",
    }
    for name, heading in headings.items():
        members = list(SCHEMA["$defs"][name]["properties"])
        section = PAGE.split(f"### {heading}\n")[1].split("\n#")[0]
        rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| ")]
        told = re.findall(r"`(\w+)`", "".join(rows) + ("`json` `text` `base64`" if name == "message" else ""))

        assert told == members


def test_the_page_names_every_end_event_and_bound() -> None:
    for kind in (*EndKind, *EventKind):
        assert kind is EndKind.OPEN or f"`{kind.value}`" in PAGE
    assert f"{LINE_BYTES // 1024 // 1024} MiB" in PAGE
    assert f"no more than {JSON_DEPTH} levels" in PAGE
    assert f"A tape of version {VERSION} is read" in PAGE
