"""
The write-ahead log beside a SQLite file, read as bytes (https://sqlite.org/fileformat2.html#walformat).

SQLite stops at the first frame that is damaged. Each frame's checksum builds on the one before, and
that one is written down in the frame before: so what lies behind a damaged frame can be told from
rubbish, and saved.
"""

import os
import struct
from array import array
from dataclasses import dataclass, field
from pathlib import Path

_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_MAGIC_LITTLE, _MAGIC_BIG = 0x377F0682, 0x377F0683
_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MASK = 0xFFFFFFFF


@dataclass(slots=True)
class Log:
    """What a log holds of a file: for each page that it has anew, where its last committed content is."""

    page_bytes: int
    pages: dict[int, int] = field(default_factory=dict)
    """The offset in the log's file of each page's content."""
    page_count: int = 0
    """How many pages the file has after the last commit; 0 without one."""
    first_bad_frame: int | None = None
    """The first frame, from 1, that is damaged and has good ones of the same log behind it."""
    commits_behind_damage: int = 0


def log_path(path: Path) -> Path:
    """Where the log of a file is."""
    return Path(f"{path}-wal")


def read_log(path: Path) -> Log | None:
    """Read the log of the file at `path`; None where there is none that says anything."""
    try:
        descriptor = os.open(log_path(path), os.O_RDONLY)
    except OSError:
        return None
    try:
        log, head = None, b""
        # A recorder may begin the log anew meanwhile; then what was read is of two logs.
        while head != (head := os.pread(descriptor, _HEADER_BYTES, 0)):
            log = _read(descriptor, head)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return log


def _read(descriptor: int, head: bytes) -> Log | None:
    if len(head) < _HEADER_BYTES:
        return None
    magic, _, page_bytes, _, salt_1, salt_2, sum_1, sum_2 = _HEADER.unpack(head)
    if (
        magic not in {_MAGIC_LITTLE, _MAGIC_BIG}
        or page_bytes & (page_bytes - 1)
        or not 512 <= page_bytes <= 65536
    ):
        return None
    log = Log(page_bytes)
    running = sum_1, sum_2
    is_little = magic == _MAGIC_LITTLE
    waiting: dict[int, int] = {}
    number, offset, suspect = 0, _HEADER_BYTES, None
    while len(frame := os.pread(descriptor, _FRAME_HEADER_BYTES + page_bytes, offset)) >= _FRAME_HEADER_BYTES:
        number += 1
        page, page_count, frame_salt_1, frame_salt_2, *stored = _FRAME.unpack_from(frame)
        is_ours = (frame_salt_1, frame_salt_2) == (salt_1, salt_2)
        counted = frame[:8] + frame[_FRAME_HEADER_BYTES:]
        is_good = (
            is_ours
            and len(frame) == _FRAME_HEADER_BYTES + page_bytes
            and _checksum(counted, running, is_little=is_little) == tuple(stored)
        )
        if is_good:
            waiting[page] = offset + _FRAME_HEADER_BYTES
            if page_count:
                log.pages |= waiting
                log.page_count = page_count
                waiting = {}
                if suspect is not None:
                    log.first_bad_frame = log.first_bad_frame or suspect
                    log.commits_behind_damage += 1
        elif suspect is None:
            suspect = number
        running = stored[0], stored[1]
        offset += _FRAME_HEADER_BYTES + page_bytes
    return log


def _checksum(data: bytes, running: tuple[int, int], *, is_little: bool) -> tuple[int, int]:
    words = array("I", data)
    if is_little != (struct.pack("=I", 1)[0] == 1):
        words.byteswap()
    first, second = running
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second
