"""Connections of botocore to an endpoint that values name: none to what only this process's pod or node reaches."""

import socket
from typing import Any

from mehc_checks.clients.network import reach


def restrict(session: Any) -> None:
    """Have ``session``, botocore's own, look at the address of each connection before it says anything.

    Its classes of connections are built upon, so what else they do they go on doing. A proxy of the environment is not
    concerned: it has connections of its own.
    """
    manager = session._manager
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _checked(pool) for scheme, pool in pools.items()}


def _checked(pool: type[Any]) -> type[Any]:
    """``pool``, whose connections are not made where ``reach`` does not permit it."""
    from urllib3.exceptions import NewConnectionError

    class Connection(pool.ConnectionCls):  # type: ignore[misc,name-defined]
        def _new_conn(self) -> socket.socket:
            made: socket.socket = super()._new_conn()
            place = made.getpeername()
            try:
                reach.permitted([place[0]], place[1])
            except reach.NotAllowed as error:
                made.close()
                raise NewConnectionError(self, str(error)) from None
            return made

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})
