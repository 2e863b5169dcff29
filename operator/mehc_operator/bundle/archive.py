"""A .tar.gz that grows file by file, no larger than allowed, readable by its owner alone."""

import io
import os
import tarfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from mehc_checks.core.errors import UsageError

LARGEST: Final = 50 * 1024 * 1024
"""Bytes of all files, before they are compressed."""


class Archive:
    """Writes ``path``; use as a context manager. What would make it too large is left out and noted."""

    def __init__(self, path: Path, *, largest: int = LARGEST) -> None:
        """Raises UsageError where ``path`` exists, or cannot be written."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        self._file = os.fdopen(descriptor, "wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w:gz")  # noqa: SIM115 - closed by __exit__
        self._path = path
        self._root = path.name.removesuffix(".tar.gz")
        self._room = largest
        self.names: list[str] = []
        self.left_out: list[str] = []

    def add(self, name: str, text: str) -> None:
        """A file of the archive. ``text`` is as it is to be read: scrubbed."""
        data = text.encode(errors="replace")
        if len(data) > self._room:
            self.left_out.append(name)
            return
        self._room -= len(data)
        entry = tarfile.TarInfo(f"{self._root}/{name}")
        entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o644
        self._tar.addfile(entry, io.BytesIO(data))
        self.names.append(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()
        self._file.close()
        if error is not None:  # half a bundle is none
            self._path.unlink(missing_ok=True)
