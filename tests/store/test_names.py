from pathlib import Path

import pytest
from store_builders import PUSH, a_message, a_writer, begin, packed, query, read

from wiretape_store import names


def test_ever_new_names_and_codecs_do_not_fill_the_memory(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "CACHE_LIMIT", 3)
    wires = list(packed(PUSH).values())
    with a_writer(store) as writer:
        session = begin(writer)
        for seq in range(40):
            message = a_message(seq, wires[seq % len(wires)])
            message.method = f"method {seq % 7}"
            writer.add(session, message)
        writer.commit()
        assert len(writer._name_ids) <= 3
        assert len(writer._codec_ids) <= 3
    messages = read(store)
    assert [message.method for message in messages] == [f"method {seq % 7}" for seq in range(40)]
    assert [message.wire for message in messages] == [wires[seq % len(wires)] for seq in range(40)]
    assert query(store, "select count(*), count(distinct text) from name") == [(8, 8)]


def test_a_name_that_was_not_committed_is_asked_for_again(tmp_path: Path) -> None:
    with a_writer(tmp_path / "t.db") as writer:
        session = begin(writer)
        writer.add(session, a_message(0))
        writer._database.connection.exec_driver_sql(
            "create temp trigger no before insert on chunk begin select raise(abort, 'no'); end"
        )
        with pytest.raises(Exception, match="storing messages failed: no"):
            writer.commit()
        writer._database.connection.exec_driver_sql("drop trigger no")
    assert [message.method for message in read(tmp_path / "t.db")] == ["price.update"]
