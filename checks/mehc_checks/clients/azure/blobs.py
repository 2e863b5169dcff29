"""A container of Azure Blob Storage. Source: Blob service REST API: List Blobs, Put Blob, Get Blob Properties, Delete
Blob.
"""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlencode

from mehc_checks.clients.azure.client import Azure

SCOPE: Final = "https://storage.azure.com/.default"
READER: Final = "Storage Blob Data Reader"
CONTRIBUTOR: Final = "Storage Blob Data Contributor"
_HEADERS: Final = {"x-ms-version": "2021-12-02"}
_BLOB: Final = re.compile(rb"<Blob>.*?<Name>([^<]{1,1024})</Name>.*?<Last-Modified>([^<]{1,64})<", re.DOTALL)


class Container:
    """The container ``name`` of ``account``. Its methods raise AzureProblem and NetworkProblem."""

    def __init__(self, azure: Azure, account: str, name: str) -> None:
        self._azure = azure
        self._url = f"https://{account}.blob.core.windows.net/{quote(name, safe='')}"
        self._what = f"container {name} of storage account {account}"

    async def listed(self, prefix: str, *, most: int = 1) -> list[tuple[str, datetime]]:
        """Up to ``most`` blobs whose names begin with ``prefix``, and when each was written."""
        query = {"restype": "container", "comp": "list", "maxresults": most, "prefix": prefix}
        answer = await self._azure.call(
            f"{self._url}?{urlencode(query)}", SCOPE, what=self._what, role=READER, headers=_HEADERS
        )
        return [
            (name.decode(errors="replace"), parsedate_to_datetime(written.decode(errors="replace")))
            for name, written in _BLOB.findall(answer.body)
        ]

    async def put(self, blob: str, data: bytes) -> None:
        await self._of(blob, "PUT", data, {"x-ms-blob-type": "BlockBlob"})

    async def head(self, blob: str) -> None:
        await self._of(blob, "HEAD")

    async def delete(self, blob: str) -> None:
        await self._of(blob, "DELETE")

    async def _of(
        self, blob: str, method: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> None:
        await self._azure.call(
            f"{self._url}/{quote(blob)}",
            SCOPE,
            what=f"writing to {self._what}",
            role=CONTRIBUTOR,
            method=method,
            headers={**_HEADERS, **(headers or {})},
            data=data,
        )
