"""Which process records, and whether it still lives: what tells an open session from an interrupted one."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RecorderProcess:
    """A process, named so that no later one is mistaken for it where the system allows."""

    host: str
    pid: int
    born: str
    """The machine's boot and the process's start within it (Linux); empty where unknown."""

    @classmethod
    def current(cls) -> "RecorderProcess":
        """The process that asks."""
        pid = os.getpid()
        return cls(platform.node(), pid, _born(pid))

    def may_be_alive(self) -> bool:
        """False only when it is known to be gone; a process of another machine is believed to live."""
        if self.host != platform.node():
            return True
        if not _exists(self.pid):
            return False
        born = _born(self.pid)
        return not (self.born and born) or self.born == born


def has_recorder(recording_id: int, process: RecorderProcess, alive: set[int] | None) -> bool:
    """Tell whether a recorder lives: by what it shows in the database (`alive`), or else by its process."""
    return process.may_be_alive() if alive is None else recording_id in alive


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _born(pid: int) -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    # proc(5): field 22 is the start time; field 2, the name, may hold spaces and parentheses.
    fields = stat[stat.rindex(b")") + 2 :].split()
    if fields[0] in b"ZX":
        return f"{boot} dead"
    return f"{boot} {fields[19].decode()}"
