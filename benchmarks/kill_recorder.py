"""
What a `kill -9` of the recorder under load costs: of its proxy, of its writer, and of both at once.

    .venv/bin/python benchmarks/kill_recorder.py [--kills 100] [--seed 1] [--most-messages 10000]

Ten recorders in turn write into one store, so each start is also a test of recording after a kill.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "tests"))

from killing import Killed, Victim, kill_once

COMMIT_INTERVAL_MS = 50
KILLS_OF_A_STORE = 10
"""Each kill is followed by a check of the whole store."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-messages", type=int, default=10_000)
    options = parser.parse_args()
    victims = list(Victim)
    killed: list[Killed] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.kills):
            store = Path(folder) / f"killed-{number // KILLS_OF_A_STORE}.db"
            seed = options.seed * 1_000_000 + number
            killed.append(kill_once(store, seed, victims[number % len(victims)], options.most_messages))
            if sys.stderr.isatty():
                print(f"\r{number + 1} of {options.kills}", end="", file=sys.stderr)
    print(f"{options.kills} kills in {time.monotonic() - began:.0f} s; {os.cpu_count()} cores")
    for victim in victims:
        report(victim, [each for each in killed if each.victim is victim])
    damaged = [each for each in killed if each.damages or not each.in_order or not each.interrupted]
    print(f"damaged stores: {len(damaged)}")
    for each in damaged:
        print(
            f"  {each.victim}: in order {each.in_order}, interrupted {each.interrupted}, {list(each.damages)}"
        )
    return 1 if damaged else 0


def report(victim: Victim, killed: list[Killed]) -> None:
    if not killed:
        return
    lags = sorted(each.oldest_lost_ms for each in killed)
    lost = sorted(each.lost for each in killed)
    late = sum(lag > COMMIT_INTERVAL_MS for lag in lags)
    print(
        f"{victim.value:6} killed {len(killed):3} times, {sum(each.received for each in killed):8} messages received; "
        f"without loss {lost.count(0)}; lost at most {lost[-1]}, in the middle {lost[len(lost) // 2]}; "
        f"the oldest lost one was received {lags[-1]:.1f} ms before (in the middle {lags[len(lags) // 2]:.1f} ms); "
        f"older than {COMMIT_INTERVAL_MS} ms in {late}"
    )


if __name__ == "__main__":
    sys.exit(main())
