"""What can be wrong with the platform's database URL before any server is asked, declared once."""

from mehc_checks.core.outcome import Reason, Status
from mehc_checks.modelengine.secrets import CloudSecretReasons


class DatabaseURLReasons(CloudSecretReasons):
    """``source`` is what the URL is made from, ``effect`` what works no more: a sentence without its period."""

    NOT_CONFIGURED = Reason(
        "DatabaseNotConfigured",
        Status.FAIL,
        "Nothing names a database, so the gateway connects to localhost.",
        message="no database is configured: neither secrets.kubernetesDatabaseSecretName nor DB_HOST is set",
        remedy="Set secrets.kubernetesDatabaseSecretName to a Secret with the key database_url.",
    )
    KEY_IS_UPPERCASE = Reason(
        "SecretKeyIsUppercase",
        Status.FAIL,
        "The Secret has the key DATABASE_URL, as the values reference says; the chart reads database_url.",
        message="Secret {secret} has the key DATABASE_URL; the gateway reads database_url",
        remedy="Store the same URL in Secret {secret} under the key database_url, in lower case.",
    )
    URL_EMPTY = Reason(
        "DatabaseURLEmpty",
        Status.FAIL,
        "The URL is empty, so the platform takes it for not set and looks elsewhere.",
        message="{source} is empty: the gateway uses {fallback} in its place",
        remedy="Write {source} as postgresql://USER:PASSWORD@HOST:5432/DATABASE.",
    )
    ENTRA_LOGIN_NOT_TESTED = Reason(
        "EntraLoginNotTested",
        Status.ERROR,
        "On Azure the platform logs in with a token of its own identity. The operator has another one, which the "
        "server rejects for the platform's user; whether it accepts the platform's is not known.",
        message="{address} is reachable; the login of {user} was not tested: mehc has the identity of {principal}, not "
        "the platform's",
        remedy="To have it tested, run the operator with the platform's identity: azure.client_id in its annotation "
        "azure.workload.identity/client-id, and a federated credential for its ServiceAccount.",
    )
    ENTRA_LOGIN_REJECTED = Reason(
        "EntraLoginRejected",
        Status.FAIL,
        "The server rejects a token of the platform's own identity: it has no role of the name azure.identity_name "
        "that is bound to that identity, or Microsoft Entra authentication is off.",
        message="{address} rejected the Microsoft Entra token of {principal} for user {user}",
        remedy="Set azure.identity_name to the identity's name, and as Entra administrator of the server run SELECT * "
        "FROM pgaadauth_create_principal('{user}', false, false).",
    )
    SOCKET_NOT_TESTED = Reason(
        "SocketNotTested",
        Status.ERROR,
        "The URL names a Unix socket, which only the pods have: of a proxy that runs beside the gateway, for example.",
        message="{source} names the Unix socket {socket}, which only the gateway's pods have: nothing was tested",
        remedy="Check it by hand: kubectl logs of the container that serves {socket}. To have it tested, name a host "
        "that the operator can reach too.",
        defaults={"source": "the database URL"},
    )
    URL_WHITESPACE = Reason(
        "DatabaseURLWhitespace",
        Status.FAIL,
        "The URL begins or ends with white space: SQLAlchemy does not parse it, or takes it for a part of the "
        "database's name.",
        message="{source} {where} with {what}: {effect}",
        remedy="Store {source} without white space around it: use printf '%s' in place of echo, or --from-literal.",
    )
    URL_UNPARSABLE = Reason(
        "DatabaseURLUnparsable",
        Status.FAIL,
        "SQLAlchemy cannot parse the URL, so the platform opens no session at all.",
        message="the URL of {source} cannot be parsed: {detail}",
        remedy="Write {source} as postgresql://USER:PASSWORD@HOST:5432/DATABASE, with special characters "
        "percent-encoded.",
    )
    URL_INCOMPLETE = Reason(
        "DatabaseURLIncomplete",
        Status.FAIL,
        "The URL names no host or no user, so drivers try a socket of the pod, or the user of its process.",
        message="{source} names no {missing}: {effect}",
        remedy="Add the {missing} to {source}.",
    )
    URL_DRIVER = Reason(
        "DatabaseURLNamesDriver",
        Status.FAIL,
        "The scheme of the URL names a driver. The platform uses psycopg2 for migrations and asyncpg for the API, and "
        "adds the second by itself.",
        message="{source} names the driver {driver}: {effect}",
        remedy="Begin {source} with postgresql://, without a driver.",
    )
    URL_OPTION = Reason(
        "DatabaseURLOptionRejected",
        Status.FAIL,
        "One of the platform's two drivers rejects an option of the URL: asyncpg, which serves the API, or psycopg2, "
        "which migrates. All options but sslmode go to both.",
        message="{driver} rejects {option} in {source}: {effect}",
        remedy="Remove {name} from {source}; only sslmode and target_session_attrs work with both drivers.",
    )
    ROOT_CERTIFICATE = Reason(
        "RootCertificateMissing",
        Status.FAIL,
        "sslmode demands to verify the server's certificate, and the platform's image has no authorities to do so.",
        message="sslmode={mode} in {source} needs ~/.postgresql/root.crt, which the image does not have: {effect}",
        remedy="Mount the authority's certificate as ~/.postgresql/root.crt (extraVolumes, extraVolumeMounts), or use "
        "sslmode=require. asyncpg rejects sslrootcert.",
    )
    NOT_ENCODED = Reason(
        "DatabasePasswordNotEncoded",
        Status.FAIL,
        "The platform strings user and password into a URL as they are: an @, for example, ends the password.",
        message="the {field} in {source} contains {character}, which breaks the platform's URL: {effect}",
        remedy="Change the {field} to letters and digits, on the server and in {source}; for rotated passwords, "
        "exclude @ / % : ? and # from the generated characters.",
    )
