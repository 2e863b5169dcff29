"""kopf's watches, of which none ends for good.

kopf takes much of what an API server, or a proxy before it, answers now and then for a defect: a watch task then ends,
nobody looks at it again, and changes of resources are not seen any more. Nor does it say which resources were deleted
while it did not watch. Both are put right here, in the two functions that all of its requests and watches go through.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import aiohttp
from kopf._cogs.clients import errors, watching

from mehc_operator.models import PLURAL

log = logging.getLogger(__name__)

_PAUSE: Final = 1.0
"""Seconds between the end of a watch and the next list."""
_LONGEST_WAIT: Final = 5
"""Seconds that are waited where an answer asks for it: a proxy may ask for hours."""
_DIGITS: Final = 7
_LISTED: Final = watching.Bookmark.LISTED

Watch = Callable[..., AsyncIterator[Any]]


def endure() -> None:
    """From now on no answer of an API server ends a watch of kopf in this process."""
    if not isinstance(watching.continuous_watch, _Enduring):
        watching.continuous_watch = _Enduring(watching.continuous_watch)
        errors.check_response = _checked


class _Enduring:
    """``continuous_watch``: one list and the watches that follow it, after which kopf begins again."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._known: dict[tuple[str, str | None], dict[str, Any]] = {}
        """By resource and namespace, the objects that were seen and not deleted, by uid, as DELETED shows them."""
        self._told: set[tuple[str, str | None]] = set()
        """The watches that end all the time, of which the log has a line."""

    async def __call__(self, **words: Any) -> AsyncIterator[Any]:
        resource, namespace = words["resource"], words["namespace"]
        own = (str(resource), namespace)
        known = self._known.setdefault(own, {})
        gone = dict(known)
        try:
            async for event in self._watch(**words):
                if event is _LISTED:
                    self._told.discard(own)
                    for uid, manifest in gone.items():
                        known.pop(uid, None)
                        yield {"type": "DELETED", "object": manifest}
                elif resource.plural == PLURAL:
                    _note(event, known, gone)
                yield event
        except Exception as error:  # whatever it is, the watch goes on, from a new list
            level = logging.DEBUG if own in self._told else logging.WARNING
            log.log(level, "watch of %s: %s, listing again", resource, _described(error))
            self._told.add(own)
            await asyncio.sleep(_PAUSE)


def _note(event: Mapping[str, Any], known: dict[str, Any], gone: dict[str, Any]) -> None:
    manifest = event["object"]
    metadata = manifest.get("metadata") or {}
    uid = metadata.get("uid")
    if uid is None:  # a bookmark, or an error
        return
    gone.pop(uid, None)
    if event["type"] == "DELETED":
        known.pop(uid, None)
    elif uid not in known:
        names = {key: metadata[key] for key in ("uid", "name", "namespace") if key in metadata}
        kind = {key: manifest[key] for key in ("apiVersion", "kind") if key in manifest}
        known[uid] = {**kind, "metadata": names}


def _described(error: Exception) -> str:
    if isinstance(error, errors.APIError):
        return f"the Kubernetes API returned {error.status}"
    return f"an unreadable answer ({type(error).__name__})"


_check: Final = errors.check_response


async def _checked(response: aiohttp.ClientResponse) -> None:
    """``check_response``, for answers that are not the API server's own: kopf reads ``Retry-After`` as a number, waits
    that long, and reads a body as text.
    """
    try:
        await _check(response)
    except errors.APITooManyRequestsError as error:
        details: Mapping[str, Any] = error.details or {}
        asked = error.headers.get("Retry-After") or str(details.get("retryAfterSeconds", ""))
        seconds = int(asked) if asked.isdecimal() and len(asked) < _DIGITS else 0
        error.headers["Retry-After"] = str(min(seconds, _LONGEST_WAIT))
        raise
    except (ValueError, LookupError):
        raise errors.APIServerError(status=response.status, headers=dict(response.headers)) from None
