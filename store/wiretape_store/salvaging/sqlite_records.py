"""
A row as SQLite writes it: the format of its records (https://sqlite.org/fileformat2.html#record_format). Pure.
"""

_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8)
_FLOAT, _ZERO, _ONE = 7, 8, 9

Value = int | bytes | str | None


class RowError(ValueError):
    """These bytes are not a row."""


def read_number(data: bytes, offset: int) -> tuple[int, int]:
    """Read a number of one to nine bytes, and say where it ends."""
    value = 0
    for place in range(8):
        byte = data[offset + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, offset + place + 1
    value = value << 8 | data[offset + 8]
    return (value - (1 << 64) if value >> 63 else value), offset + 9


def read_record(record: bytes) -> tuple[Value, ...]:
    """Read the values of a record, whose lengths must add up exactly."""
    head_bytes, position = read_number(record, 0)
    if not position <= head_bytes <= len(record):
        raise RowError("its head does not fit")
    kinds = []
    while position < head_bytes:
        kind, position = read_number(record, position)
        kinds.append(kind)
    if position != head_bytes or sum(map(_length, kinds)) != len(record) - head_bytes:
        raise RowError("its lengths do not add up")
    values: list[Value] = []
    for kind in kinds:
        end = position + _length(kind)
        values.append(_value(kind, record[position:end]))
        position = end
    return tuple(values)


def _length(kind: int) -> int:
    if 0 <= kind < _FLOAT:
        return _INTEGER_BYTES[kind]
    if kind in {_ZERO, _ONE}:
        return 0
    if kind < 12:
        raise RowError("no table of ours has such a value")
    return (kind - 12) // 2


def _value(kind: int, data: bytes) -> Value:
    if kind == 0:
        return None
    if kind < _FLOAT:
        return int.from_bytes(data, "big", signed=True)
    if kind in {_ZERO, _ONE}:
        return kind - _ZERO
    if kind % 2 == 0:
        return data
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise RowError("its text is none") from exc
