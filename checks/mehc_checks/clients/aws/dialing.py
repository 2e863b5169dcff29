"""Connections of botocore to an endpoint that values name: none to what only this process's pod or node reaches."""

import socket
from typing import Any

from mehc_checks.clients.network import reach


def restrict(session: Any) -> None:
    """Have ``session``, botocore's own, look at the address of each connection before it says anything.

    A proxy of the environment is not concerned: it has connections of its own.
    """
    from botocore import awsrequest
    from urllib3.exceptions import NewConnectionError

    def checked(connection: Any, made: socket.socket) -> socket.socket:
        place = made.getpeername()
        try:
            reach.permitted([place[0]], place[1])
        except reach.NotAllowed as error:
            made.close()
            raise NewConnectionError(connection, str(error)) from None
        return made

    class Plain(awsrequest.AWSHTTPConnection):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return checked(self, super()._new_conn())

    class Secure(awsrequest.AWSHTTPSConnection):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return checked(self, super()._new_conn())

    class PlainPool(awsrequest.AWSHTTPConnectionPool):  # type: ignore[misc]
        ConnectionCls = Plain

    class SecurePool(awsrequest.AWSHTTPSConnectionPool):  # type: ignore[misc]
        ConnectionCls = Secure

    session._manager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
