"""`kill -9` of a recorder under load, ten times: what the promise of durability is worth."""

from pathlib import Path

from killing import Victim, kill_once

# The promise is 50 ms and the commit itself; the machine that runs the tests may be busy with others.
LONGEST_MS = 1000


def test_a_recorder_that_is_killed_ten_times_keeps_what_it_promised(tmp_path: Path) -> None:
    store = tmp_path / "killed.db"
    victims = [Victim.PROXY, Victim.WRITER, Victim.BOTH, Victim.BOTH, Victim.WRITER] * 2

    killed = [kill_once(store, seed, victim) for seed, victim in enumerate(victims)]

    assert [each.damages for each in killed] == [()] * 10
    assert all(each.in_order and each.interrupted for each in killed)
    # What the proxy has handed over outlives it.
    assert [each.lost for each in killed if each.victim is Victim.PROXY] == [0, 0]
    assert max(each.oldest_lost_ms for each in killed) < LONGEST_MS
    assert min(each.received for each in killed) > 0
