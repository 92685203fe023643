"""How an age and a size are written on the command line."""

import re
from decimal import Decimal

import click

_NUMBER_AND_UNIT = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)\s*")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}


def age_us(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Read an age such as `30d`, for an option's `callback`, as microseconds."""
    if value is None:
        return None
    found = _read(value, _SECONDS)
    if found is None:
        raise click.BadParameter(f"{value!r} is no age: write a number and s, m, h, d or w, such as 30d")
    return int(found * 1_000_000)


def size_bytes(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
    """Read a size such as `2GB`, for an option's `callback`, as bytes."""
    if value is None:
        return None
    found = _read(value, _BYTES)
    if found is None:
        raise click.BadParameter(
            f"{value!r} is no size: write a number and B, kB, MB, GB or GiB, such as 2GB"
        )
    return int(found)


def _read(text: str, units: dict[str, int]) -> Decimal | None:
    found = _NUMBER_AND_UNIT.fullmatch(text)
    if found is None or found[2].lower() not in units:
        return None
    return Decimal(found[1]) * units[found[2].lower()]
