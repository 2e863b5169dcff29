"""A queue of Azure Service Bus, by its management interface: no message is received. Source: Service Bus REST API
reference, Get Queue.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from mehc_checks.clients.azure.client import Azure
from mehc_checks.clients.azure.identity import AzureProblem
from mehc_checks.clients.azure.reasons import NOT_FOUND, AzureReasons

SCOPE: Final = "https://servicebus.azure.net/.default"
ROLE: Final = "Azure Service Bus Data Owner"
_VERSION: Final = "2021-05"
_DENYING: Final = frozenset({401, 403})
"""It answers 401 where a valid token lacks the claim Manage."""
_FIELD: Final = re.compile(
    rb"<(?:\w+:)?(Status|ActiveMessageCount|DeadLetterMessageCount)(?:\s[^>]*)?>\s*(\w{1,40})\s*</"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BusQueue:
    """``active`` messages wait or are being worked on; ``dead`` are those that were given up. ``status``: "Active"."""

    status: str
    active: int
    dead: int


async def queue(azure: Azure, host: str, name: str) -> BusQueue:
    """The queue ``name`` of the namespace at ``host``. Raises AzureProblem (``NOT_FOUND`` too) and NetworkProblem."""
    what = f"queue {name} of {host}"
    url = f"https://{host}/{quote(name, safe='')}?api-version={_VERSION}&enrich=false"
    answer = await azure.call(url, SCOPE, what=what, role=ROLE, denying=_DENYING)
    if b"QueueDescription" not in answer.body:
        if b"<feed" in answer.body:  # so it answers for a queue that it does not have
            raise AzureProblem(NOT_FOUND, what=what)
        raise AzureProblem(AzureReasons.OTHER, what=what, code="an unusable answer")
    found = {name.decode(): text.decode() for name, text in _FIELD.findall(answer.body)}
    try:
        counts = [int(found.get(f"{kind}MessageCount", "0")) for kind in ("Active", "DeadLetter")]
    except ValueError:
        raise AzureProblem(AzureReasons.OTHER, what=what, code="an unusable answer") from None
    return BusQueue(status=found.get("Status", ""), active=counts[0], dead=counts[1])
