"""
The rows in a SQLite file, taken from its pages one by one and past SQLite
(https://sqlite.org/fileformat2.html).

SQLite finds a row through the pages above it, so one damaged page may hide a thousand good ones.
Here every page that holds rows is read by itself; a damaged page costs its own rows and no others.
Which table a row belongs to is not known here.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from wiretape_store.salvaging.sqlite_log import Log, log_path, read_log
from wiretape_store.salvaging.sqlite_records import RowError, Value, read_number, read_record

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
_LIKELY_PAGE_BYTES = (8192, 4096, 1024, 2048, 16384, 32768, 65536, 512)
_STORES_PAGE_BYTES = (8192, 4096)
"""Text cannot look like pages of these sizes: a count of rows that fits has no letter in it."""
_MAP_ENTRY_BYTES = 5
_LEAST_ROW_PAGES = 3
"""A file with so many pages that begin as pages with rows do may have been a database."""


class PageKind(IntEnum):
    """The first byte of a page of a b-tree."""

    INDEX_ABOVE = 2
    TABLE_ABOVE = 5
    INDEX = 10
    TABLE = 13


class MapKind(IntEnum):
    """What the pointer map says that a page is."""

    ROOT = 1
    FREE = 2
    OVERFLOW_FIRST = 3
    OVERFLOW = 4
    TREE = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `rowid` is None in an index, which is how tables without rowid are kept."""

    rowid: int | None
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What the first 100 bytes of a file say."""

    application_id: int
    version: int
    page_bytes: int
    reserved_bytes: int
    has_map: bool
    first_free: int
    free_count: int
    page_count: int
    """How many pages the file has; 0 where it does not say."""


def read_header(head: bytes) -> FileHeader | None:
    """Read a file's first bytes; None where they are no SQLite file's."""
    if len(head) < HEADER_BYTES or not head.startswith(MAGIC):
        return None
    page_bytes = int.from_bytes(head[16:18], "big")
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    if page_bytes < 512 or page_bytes & (page_bytes - 1) or page_bytes - head[20] < 480:
        return None
    numbers = struct.unpack(">20I", head[20:100])
    # 28: the pages, if 24 and 92 agree; 32 and 36: the free ones; 52: the map; 60: user_version; 68: application_id.
    page_count = numbers[2] if numbers[1] == numbers[18] else 0
    return FileHeader(
        numbers[12], numbers[10], page_bytes, head[20], numbers[8] != 0, numbers[3], numbers[4], page_count
    )


def may_be_database(path: Path) -> bool:
    """Whether a file whose first page is none of SQLite's has others that look like it. Raises OSError."""
    with path.open("rb") as file:
        counts = [_count_row_pages(file.fileno(), page_bytes) for page_bytes in _STORES_PAGE_BYTES]
    return max(counts) >= _LEAST_ROW_PAGES


def _count_row_pages(descriptor: int, page_bytes: int) -> int:
    """Count pages that begin as a page with rows does, among the first ones."""
    kinds = {PageKind.INDEX, PageKind.TABLE}
    starts = (os.pread(descriptor, 8, number * page_bytes) for number in range(1, 1000))
    return sum(
        len(start) == 8
        and start[0] in kinds
        and 0 < int.from_bytes(start[3:5], "big") < page_bytes // 4
        and start[7] < 60
        for start in starts
    )


class PageFile:
    """
    The pages of a file with its log, read and never written; a context manager.

    Closing it takes away the locks that SQLite holds on the file in this process (fcntl(2)): use it
    where no store is open.
    """

    def __init__(self, path: Path) -> None:
        """Open the file at `path`. Raises OSError."""
        self._log: Log | None = read_log(path)
        self._file = os.open(path, os.O_RDONLY)
        self._log_file: int | None = None
        try:
            if self._log is not None and self._log.pages:
                self._log_file = os.open(log_path(path), os.O_RDONLY)
            self._size = os.fstat(self._file).st_size
            self.header = self._read_header()
        except BaseException:
            self.close()
            raise
        log = self._log
        self.page_bytes = self._page_bytes()
        """Of each page; a guess where neither the file nor its log says it."""
        in_file = -(-self._size // self.page_bytes)
        self.page_count = max([in_file, *(log.pages if log else ())])
        self.pages_told = (log.page_count if log else 0) or (self.header.page_count if self.header else 0)
        """How many pages it should have, by its log or its header; 0 where neither says."""
        self.missing_pages = self._missing_pages()
        reserved = self.header.reserved_bytes if self.header else 0
        self._usable = self.page_bytes - reserved
        self._has_map = self.header is None or self.header.has_map
        self._free = set() if self._has_map else self._free_pages()
        self.bad_pages = 0
        """Pages that should hold rows and of which nothing, or not all, could be read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        os.close(self._file)
        if self._log_file is not None:
            os.close(self._log_file)

    def page(self, number: int) -> bytes:
        """Read a page, from 1, as it was after the last commit; shorter, or empty, where the file ends."""
        if self._log_file is not None and self._log is not None:
            offset = self._log.pages.get(number)
            if offset is not None:
                return os.pread(self._log_file, self.page_bytes, offset)
        return os.pread(self._file, self.page_bytes, (number - 1) * self.page_bytes)

    def rows(self, number: int) -> list[Row]:
        """Read the rows that a page holds; none where it holds none, or where it is free."""
        page = self.page(number)
        kind_of_map = self._map_kind(number)
        if kind_of_map in {MapKind.FREE, MapKind.OVERFLOW, MapKind.OVERFLOW_FIRST} or number in self._free:
            return []
        start = HEADER_BYTES if number == 1 else 0
        kind = page[start] if len(page) > start else 0
        if kind not in {PageKind.INDEX, PageKind.TABLE, PageKind.INDEX_ABOVE}:
            self.bad_pages += kind != PageKind.TABLE_ABOVE and kind_of_map in {MapKind.TREE, MapKind.ROOT}
            return []
        rows: list[Row] = []
        is_whole = True
        for offset in self._cells(page, start, kind):
            try:
                rows.append(self._row(page, offset, kind))
            except (RowError, IndexError, struct.error, OSError):
                is_whole = False
        self.bad_pages += not is_whole
        return rows

    def _read_header(self) -> FileHeader | None:
        if self._log is not None and self._log_file is not None and 1 in self._log.pages:
            found = read_header(os.pread(self._log_file, HEADER_BYTES, self._log.pages[1]))
            if found is not None:
                return found
        return read_header(os.pread(self._file, HEADER_BYTES, 0))

    def _page_bytes(self) -> int:
        if self._log is not None:
            return self._log.page_bytes
        if self.header is not None:
            return self.header.page_bytes
        return max(_LIKELY_PAGE_BYTES, key=self._looks_like_pages)

    def _looks_like_pages(self, page_bytes: int) -> int:
        """Count bytes in pages that begin as a page with rows does."""
        return page_bytes * _count_row_pages(self._file, page_bytes)

    def _missing_pages(self) -> int:
        """Count the pages that neither the file nor its log has any more, or not whole."""
        of_log = self._log.pages if self._log is not None else {}
        whole = self._size // self.page_bytes
        return max(0, self.pages_told - whole - sum(whole < number <= self.pages_told for number in of_log))

    def _free_pages(self) -> set[int]:
        """Follow the list of free pages, where there is no map."""
        free: set[int] = set()
        trunk = self.header.first_free if self.header else 0
        while 0 < trunk <= self.page_count and trunk not in free:
            free.add(trunk)
            page = self.page(trunk)
            if len(page) < 8:
                break
            trunk, count = struct.unpack_from(">2I", page)
            count = min(count, len(page) // 4 - 2)
            free.update(struct.unpack_from(f">{count}I", page, 8))
        return free

    def _map_kind(self, number: int) -> int | None:
        """Ask the pointer map what a page is; None where it does not say."""
        if not self._has_map or number < 2:
            return None
        every = self._usable // _MAP_ENTRY_BYTES + 1
        place = (number - 2) % every
        if place == 0:
            return MapKind.OVERFLOW  # It is a page of the map itself.
        entry = self.page(number - place)[(place - 1) * _MAP_ENTRY_BYTES :][:1]
        return entry[0] if entry and entry[0] in MapKind else None

    @staticmethod
    def _cells(page: bytes, start: int, kind: int) -> Iterator[int]:
        count = int.from_bytes(page[start + 3 : start + 5], "big")
        begin = start + (12 if kind == PageKind.INDEX_ABOVE else 8)
        count = min(count, max(0, (len(page) - begin) // 2))
        return iter(struct.unpack_from(f">{count}H", page, begin))

    def _row(self, page: bytes, offset: int, kind: int) -> Row:
        rowid: int | None = None
        if kind == PageKind.INDEX_ABOVE:
            offset += 4
        length, offset = read_number(page, offset)
        if kind == PageKind.TABLE:
            rowid, offset = read_number(page, offset)
        return Row(rowid, read_record(self._payload(page, offset, length, is_table=kind == PageKind.TABLE)))

    def _payload(self, page: bytes, offset: int, length: int, *, is_table: bool) -> bytes:
        usable = self._usable
        if length > self.page_count * self.page_bytes:
            raise RowError("longer than the file")
        most = usable - 35 if is_table else (usable - 12) * 64 // 255 - 23
        if length <= most:
            local = page[offset : offset + length]
            if len(local) < length:
                raise RowError("beyond its page")
            return local
        least = (usable - 12) * 32 // 255 - 23
        here = least + (length - least) % (usable - 4)
        here = here if here <= most else least
        pieces = [page[offset : offset + here]]
        following = int.from_bytes(page[offset + here : offset + here + 4], "big")
        left = length - here
        seen: set[int] = set()
        while left > 0:
            if not 1 < following <= self.page_count or following in seen:
                raise RowError("its rest cannot be found")
            seen.add(following)
            more = self.page(following)
            if len(more) < self.page_bytes:
                raise RowError("its rest is cut off")
            following = int.from_bytes(more[:4], "big")
            pieces.append(more[4 : min(usable, 4 + left)])
            left -= usable - 4
        return b"".join(pieces)
