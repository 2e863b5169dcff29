"""Whether an image can be pulled with the credentials at hand."""

import asyncio
from collections.abc import Sequence
from typing import Final

from mehc_checks.clients.registry.client import Registry
from mehc_checks.clients.registry.completed import Completed
from mehc_checks.clients.registry.connections import Connections
from mehc_checks.clients.registry.exchange import Access
from mehc_checks.clients.registry.inspection import Inspection
from mehc_checks.clients.registry.keyring import Login
from mehc_checks.clients.registry.pull import Pull
from mehc_checks.clients.registry.reasons import RegistryReasons as R
from mehc_checks.clients.registry.reference import Reference
from mehc_checks.core.errors import Problem

_TRY_ANOTHER_LOGIN: Final = frozenset(
    {
        R.PULL_CREDENTIALS_REJECTED,
        R.PULL_DENIED,
        R.NO_PULL_CREDENTIALS,
        R.REPOSITORY_MISSING,
        R.TAG_MISSING,
    }
)


async def inspect(
    reference: Reference,
    logins: Sequence[Login | None],
    *,
    access: Access,
    architectures: Sequence[str],
    timeout: float,
    exists: bool = False,
    connections: Connections | None = None,
    completed: Completed | None = None,
) -> Inspection:
    """Go through a pull of ``reference`` with each login in turn, as the kubelet does; anonymously with None or none.

    Without tag and digest only the repository is looked for, with ``exists`` only the manifest. ``timeout`` is in
    seconds, for all logins together. ``connections`` are used with others of one probe run, and ``completed`` has what
    was found whole before.
    """
    end = asyncio.get_running_loop().time() + timeout
    first: Inspection | None = None
    for login in logins or (None,):
        left = max(end - asyncio.get_running_loop().time(), 0.1)
        result = Inspection(reference=str(reference), login=login.source if login else "")
        registry = Registry(
            reference.host,
            reference.path,
            login=login,
            access=access,
            timeout=left,
            connections=connections,
        )
        try:
            async with registry:
                await Pull(registry, reference, result, completed).run(None if exists else architectures)
        except Problem as problem:
            result.problem = problem
        if result.problem is None:
            return result
        first = first or result
        if result.problem.reason not in _TRY_ANOTHER_LOGIN:
            break
    assert first is not None  # noqa: S101 - there is always one attempt
    return first
