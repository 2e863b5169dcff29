"""The container runtime of a node itself is at fault: it is down, or does not finish what it was asked for.

Sources: gRPC's errors, which the kubelet quotes; containerd's and CRI-O's reservations of names (1.4 to 2.2).
"""

import re
from typing import Final

from mehc_checks.core.text import shortened
from mehc_checks.workload.reasons import WorkloadReasons as R
from mehc_checks.workload.trouble import Trouble

_DOWN: Final = re.compile(
    r"dial(?:ing)?:? (?:dial )?unix[: ]\S+: (?:connect: )?(?P<detail>connection refused|no such file or directory|"
    r"(?:i/o )?timeout)|"
    r"code = Unavailable desc = (?P<closed>error reading from server: EOF|transport is closing)|"
    r"(?P<reported>container runtime is down)"
)
_STUCK: Final = re.compile(
    r"(?P<reserved>is reserved for|name is reserved)|"
    r"^(?:Failed to create pod sandbox: )?(?:rpc error: code = DeadlineExceeded desc = )?context deadline exceeded$"
)


def down(text: str) -> Trouble | None:
    """That the runtime does not answer the kubelet, by ``text``; None where it says nothing of that."""
    match = _DOWN.search(text)
    if match is None:
        return None
    return Trouble(reason=R.RUNTIME_DOWN, words={"detail": next(word for word in match.groups() if word)})


def fault(text: str) -> Trouble | None:
    """What ``text`` says of the runtime, also that it does not finish; None where it says nothing of it."""
    if found := down(text):
        return found
    if match := _STUCK.search(text):
        said = "an earlier attempt goes on" if match["reserved"] else shortened(text, 140)
        return Trouble(reason=R.RUNTIME_STUCK, words={"detail": said})
    return None
