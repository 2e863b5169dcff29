"""A bucket of Google Cloud Storage. Source: Cloud Storage JSON API: objects list, insert, get and delete."""

from datetime import datetime
from typing import Final
from urllib.parse import quote, urlencode

from mehc_checks.clients.google.client import Google

HOST: Final = "storage.googleapis.com"
READER: Final = "roles/storage.objectViewer"
WRITER: Final = "roles/storage.objectUser"


class GoogleBucket:
    """The bucket ``name``. Its methods raise GoogleProblem and NetworkProblem."""

    def __init__(self, google: Google, name: str) -> None:
        self._google = google
        self._bucket = f"b/{quote(name, safe='')}/o"
        self._what = f"bucket {name}"

    async def listed(self, prefix: str, *, most: int = 1) -> list[tuple[str, datetime]]:
        """Up to ``most`` objects whose names begin with ``prefix``, and when each was written."""
        query = urlencode({"maxResults": most, "prefix": prefix, "fields": "items(name,updated)"})
        url = f"https://{HOST}/storage/v1/{self._bucket}?{query}"
        content = (await self._google.call(url, what=self._what, role=READER)).json()
        items = content.get("items") if isinstance(content, dict) else None
        return [(str(each["name"]), datetime.fromisoformat(each["updated"])) for each in items or ()]

    async def put(self, name: str, data: bytes) -> None:
        query = urlencode({"uploadType": "media", "name": name})
        await self._write("POST", f"https://{HOST}/upload/storage/v1/{self._bucket}?{query}", data)

    async def head(self, name: str) -> None:
        await self._write("GET", self._object(name))

    async def delete(self, name: str) -> None:
        await self._write("DELETE", self._object(name))

    def _object(self, name: str) -> str:
        return f"https://{HOST}/storage/v1/{self._bucket}/{quote(name, safe='')}"

    async def _write(self, method: str, url: str, data: bytes | None = None) -> None:
        what = f"writing to {self._what}"
        headers = {"Content-Type": "text/plain"} if data else None
        await self._google.call(url, what=what, role=WRITER, method=method, headers=headers, data=data)
