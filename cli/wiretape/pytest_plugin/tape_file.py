"""The tape of a test as a file: read whole, made from a store, and replaced at once or not at all."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from wiretape.daemon import last_line
from wiretape.pytest_plugin.errors import PluginError
from wiretape.pytest_plugin.stable_tape import stable_tape

_EXPORT_DEADLINE_S = 120.0
_ADVICE = "The ini option wiretape_record_options is for options of `wiretape record`, such as --redact."


@dataclass(frozen=True, slots=True)
class TapeFile:
    """Where a tape is, or will be."""

    path: Path
    shown: str
    """The path as the test's author would type it."""

    def read(self) -> str:
        """The tape as it is. Raises PluginError."""
        try:
            return self.path.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as exc:
            raise PluginError(f"cannot read the tape {self.shown}: {exc}") from exc

    def upstreams(self) -> set[str]:
        """The names of the upstreams that it has sessions of. Raises PluginError."""
        lines = self.read().split("\n")
        return {json.loads(line)["session"] for line in lines if line.startswith('{"session": ')}

    def exported(self, recording: str, store: Path) -> str:
        """
        What the tape is to be for a recording in a store, given what it is now.

        Raises PluginError where there is nothing to keep, or something that must not be kept.
        """
        draft = store.with_name("recorded.tape")
        command = [sys.executable, "-m", "wiretape", "export", recording, str(draft), "--store", str(store)]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_EXPORT_DEADLINE_S,
            check=False,
        )
        if done.returncode:
            said = last_line(done.stderr).replace(str(draft), self.shown)
            raise PluginError(f"{said or f'wiretape export ended with status {done.returncode}'}\n{_ADVICE}")
        text = draft.read_bytes().decode()
        if text.count("\n") == 1:
            raise PluginError(f"no connection was made, so there is nothing to record in {self.shown}")
        return stable_tape(text, self._old())

    def write(self, text: str) -> None:
        """Replace the tape. Raises PluginError, and then it is as it was."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, draft = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(descriptor)
                if self.path.exists():
                    shutil.copymode(self.path, draft)
                Path(draft).replace(self.path)
            except BaseException:
                Path(draft).unlink()
                raise
        except OSError as exc:
            raise PluginError(f"cannot write the tape {self.shown}: {exc.strerror}") from exc

    def _old(self) -> str:
        """The tape as it is; empty where there is none, or none that can be read."""
        try:
            return self.path.read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            return ""
