"""What every client of PostgreSQL can find, declared once, with what every client of a network can.

Words: ``address`` ("host:port"), ``user``, ``database``; ``source`` is what names them ("database_url of Secret db").
"""

from typing import Final

from mehc_checks.clients.network.reasons import NetworkReasons
from mehc_checks.core.outcome import Reason, Status

_SOURCE: Final = {"source": "the database URL"}


class PostgresReasons(NetworkReasons):
    """The faults in the order in which a session meets them."""

    NOT_POSTGRESQL = Reason(
        "NotPostgreSQL",
        Status.FAIL,
        "The server on the port is not PostgreSQL.",
        message="{address} does not speak the PostgreSQL protocol",
        remedy="Correct the host and port in {source}.",
        defaults=_SOURCE,
    )
    SERVER_NOT_READY = Reason(
        "ServerNotReady",
        Status.FAIL,
        "The server is starting up, shutting down or recovering.",
        message="{address} is starting up, shutting down or recovering",
        remedy="Wait for the server to start; if it does not, read its log.",
    )
    PASSWORD_MISSING = Reason(
        "PasswordMissing",
        Status.FAIL,
        "The server requires a password, and the client has none.",
        message="{address} requires a password for user {user}, and {source} has none",
        remedy="Add the password of user {user} to {source}.",
        defaults=_SOURCE,
    )
    PASSWORD_REJECTED = Reason(
        "PasswordRejected",
        Status.FAIL,
        "The server rejects the user or the password.",
        message="{address} rejected the password of user {user}",
        remedy="Correct the user and password in {source}{then}.",
        defaults={**_SOURCE, "then": ", then restart the client"},
    )
    EXTERNAL_AUTH_REJECTED = Reason(
        "ExternalAuthRejected",
        Status.FAIL,
        "The server does not check this user by a password of its own, but by PAM (on RDS: IAM), LDAP, ident or the "
        "like, and that rejected the session.",
        message="{address} checks user {user} by {method}, which rejected the session",
        remedy="Have the server check user {user} by password (scram-sha-256 in pg_hba.conf; on RDS: REVOKE rds_iam "
        'FROM "{user}"): the platform keeps one URL, and IAM tokens expire after 15 minutes.',
        defaults={"method": "PAM"},
    )
    POOLER_WAITS = Reason(
        "PoolerTimeout",
        Status.FAIL,
        "The pooler in front of the server accepted the session, and got no connection to the server for it.",
        message="the pooler at {address} has no connection to the server for database {database}",
        remedy="Check that the server behind the pooler is up and accepts its user (the pooler's log); if SHOW POOLS "
        "says that all connections are in use, raise default_pool_size.",
    )
    ROLE_REJECTED = Reason(
        "RoleRejected",
        Status.FAIL,
        "The role does not exist, or has no LOGIN attribute.",
        message="{address} does not permit role {user} to log in",
        remedy='On the server, run: ALTER ROLE "{user}" LOGIN (create the role first if it does not exist).',
    )
    PG_HBA_REJECTED = Reason(
        "PgHbaRejected",
        Status.FAIL,
        "pg_hba.conf of the server rejects the session, or has no entry for it.",
        message="pg_hba.conf of {address} does not admit user {user} to database {database} from here",
        remedy="Add an entry for user {user}, database {database} and the cluster's addresses to pg_hba.conf, then run "
        "SELECT pg_reload_conf().",
    )
    DATABASE_NOT_FOUND = Reason(
        "DatabaseNotFound",
        Status.FAIL,
        "The server has no database of that name.",
        message="{address} has no database {database}",
        remedy="Create database {database}, or correct the name in {source}.",
        defaults=_SOURCE,
    )
    PRIVILEGES_MISSING = Reason(
        "PrivilegesMissing",
        Status.FAIL,
        "The role lacks privileges on the database, or on schemas and tables that the client needs.",
        message="user {user} lacks privileges on {objects}",
        remedy="As the owner, run: {grant}",
        defaults={"grant": "GRANT … TO the user."},
    )
    TOO_MANY_CONNECTIONS = Reason(
        "TooManyConnections",
        Status.FAIL,
        "The server has no connection slot left for this user.",
        message="{address} has no connection slot left for user {user}",
        remedy="Raise max_connections of the server (of a pooler: max_client_conn) or the CONNECTION LIMIT of role "
        "{user}{or_lower}.",
        defaults={"or_lower": ", or lower the number of clients"},
    )
    SESSION_REJECTED = Reason(
        "SessionRejected",
        Status.FAIL,
        "The server rejected the session for a reason not listed here.",
        message="{address} rejected the session of user {user}",
        remedy="Read the log of the server: it has the reason.",
    )
    QUERY_FAILED = Reason(
        "QueryFailed",
        Status.FAIL,
        "The session was opened, and a query failed.",
        message="{address}: a query failed with SQLSTATE {sqlstate}",
        remedy="Look up SQLSTATE {sqlstate} in the log of the server.",
    )
