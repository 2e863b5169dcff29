"""Servers that lie, stall and never end, on the ports that a tenant's values name."""

import struct
from collections.abc import Callable, Iterator

from faults.arena import PLANTED, Attack
from testbed.installation import Tree, only, overlaid
from testbed.rawserver import Script, answers, close, drip, endless, http, message, postgres, reset, silence

ROW = message(b"D", struct.pack("!hi", 1, 60000) + b"x" * 60000)
COLUMN = (b"T", struct.pack("!h", 1) + b"version_num\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0))
HEAD = b"HTTP/1.1 200 OK\r\n"
BODY = HEAD + b"Content-Type: application/json\r\n"
LONG = b"Content-Length: 1000000000000\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"
ESCAPES = f"\x1b[2J\x1b]0;x\x07{PLANTED}\u202e".encode()

ANY: dict[str, Script] = {
    "silent": silence,
    "closes": close,
    "resets": reset,
    "endless zeros": endless(block=b"\0" * 65536),
    "endless text": endless(),
    "drips": drip(b"HTTP/1.1 200 OK\r\n"),
    "random bytes": answers(bytes(range(256)) * 16),
}
HTTP: dict[str, Script] = {
    "endless headers": endless(HEAD, block=b"X-A: " + b"x" * 8000 + b"\r\n"),
    "headers that drip": drip(b"X-A: b\r\n", 0.1),
    "endless body": endless(BODY, LONG),
    "endless chunks": endless(BODY, CHUNKED, block=CHUNK),
    "a line of chunks without end": endless(BODY, CHUNKED),
    "JSON nested 100,000 deep": http(body=b"[" * 100_000),
    "JSON of 1,000,000 numbers": http(body=b"[" + b"1," * 1_000_000 + b"1]"),
    "an integer of 100,000 digits": http(body=b'{"status": ' + b"9" * 100_000 + b"}"),
    "terminal sequences": http("500 " + "x" * 100, ESCAPES),
    "redirect to itself": http("302 Found", Location="/"),
    "redirect to metadata": http("302 Found", Location="http://169.254.169.254/latest/meta-data/"),
    "not found, with a page": http("404 Not Found", b"<html>" + ESCAPES, Content_Type="text/html"),
}
REDIS: dict[str, Script] = {
    "bulk of 4 GB": endless(b"$4294967296\r\n"),
    "array of 10^9": endless(b"*1000000000\r\n", block=b":1\r\n" * 16384),
    "arrays in arrays": endless(block=b"*1\r\n" * 16384),
    "endless status line": endless(b"+"),
    "error with a secret": answers(b"-ERR " + ESCAPES.replace(b"\n", b"") + b"\r\n"),
    "integers for everything": answers(b":1\r\n"),
    "nil for everything": answers(b"$-1\r\n"),
    "negative length": answers(b"$-7\r\n"),
}
POSTGRES: dict[str, Script] = {
    "endless rows": postgres(COLUMN, block=ROW),
    "endless notices": postgres(block=message(b"N", b"SNOTICE\0C00000\0Mx\0\0")),
    "message of 1 GB": postgres(block=b"T" + struct.pack("!i", 1 << 30) + b"x" * 65536),
    "negative length": postgres(block=b"T" + struct.pack("!i", -5)),
    "error with a secret": postgres((b"E", b"SERROR\0C42501\0M" + ESCAPES + b"\0\0"), (b"Z", b"I")),
    "one row of 2 MB": postgres(
        COLUMN,
        (b"D", struct.pack("!hi", 1, 2_000_000) + b"x" * 2_000_000),
        (b"C", b"SELECT 1\0"),
        (b"Z", b"I"),
    ),
}
REGISTRY: dict[str, Script] = {
    "100 challenges": http(
        "401 Unauthorized",
        b"",
        Www_Authenticate=", ".join(
            f'Bearer realm="https://{"a" * 300}.example.com/{n}",service="x"' for n in range(100)
        ),
    ),
    "realm at metadata": http(
        "401 Unauthorized", b"", Www_Authenticate='Bearer realm="http://169.254.169.254/latest/",service="x"'
    ),
    "realm on loopback": http(
        "401 Unauthorized", b"", Www_Authenticate='Bearer realm="http://127.0.0.1:1/",service="x"'
    ),
    "realm at another server of the pod": http(
        "401 Unauthorized", b"", Www_Authenticate='Bearer realm="https://127.0.0.2:1/",service="x"'
    ),
    "8,300 long tags": http(
        body=b'{"tags": [' + b",".join(b'"' + b"t" * 120 + b'%05d"' % n for n in range(8_300)) + b"]}"
    ),
}


def redis_spec(address: str) -> Tree:
    values = {
        "redis": {"enableTLS": False},
        "config": {
            "values": {
                "infra": {"cloud_provider": "aws"},
                "launch": {"cache_redis_aws_url": f"redis://{address}/0"},
            }
        },
    }
    return {"values": values, **only("RedisReachable")}


def prometheus_spec(address: str) -> Tree:
    values = {
        "config": {
            "values": {"infra": {"cloud_provider": "aws", "prometheus_server_address": f"http://{address}"}}
        }
    }
    return {"values": values, **only("PrometheusQueryable")}


def registry_spec(address: str) -> Tree:
    values = {
        "inferenceFramework": {"vllm": "0.6.3"},
        "config": {
            "values": {
                "infra": {
                    "cloud_provider": "onprem",
                    "docker_registry_type": "onprem",
                    "docker_repo_prefix": address,
                },
                "launch": {"vllm_repository": "vllm"},
            }
        },
    }
    return {"values": values, **only("VllmImagePullable")}


def store_spec(address: str) -> Tree:
    values = {
        "s3EndpointUrl": f"http://{address}",
        "config": {"values": {"infra": {"cloud_provider": "onprem", "s3_bucket": "bucket"}}},
    }
    return {"values": values, **only("ObjectStoreReachable")}


def database_spec(address: str) -> Tree:
    values = {
        "secrets": {"kubernetesDatabaseSecretName": "database"},
        "config": {"values": {"infra": {"cloud_provider": "onprem"}}},
    }
    return {"values": values, **only("DatabaseMigrated")}


def everywhere(address: str) -> Tree:
    """A spec in which every address is ``address``."""
    host, _, port = address.rpartition(":")
    merged: Tree = {}
    for spec in (redis_spec, prometheus_spec, registry_spec, store_spec, database_spec):
        merged = overlaid(merged, spec(address)["values"])
    checks = only(
        "RedisReachable",
        "PrometheusQueryable",
        "VllmImagePullable",
        "ObjectStoreReachable",
        "DatabaseMigrated",
    )
    merged["config"]["values"]["infra"] |= {
        "cloud_provider": "onprem",
        "redis_host": host,
        "redis_port": port,
    }
    return {"values": merged, "timeout": "30s", **checks}


CLOSED = {"closes": "ConnectionClosed", "resets": "ConnectionClosed"}
SLOW = {"silent": "ConnectionTimeout", "drips": "ConnectionTimeout"}
SAID: dict[str, dict[str, str]] = {
    "Redis": {**SLOW, **CLOSED, "random bytes": "ConnectionClosed", "error with a secret": "RedisError"},
    "Prometheus": {
        **SLOW,
        **CLOSED,
        "JSON nested 100,000 deep": "NotPrometheus",
        "JSON of 1,000,000 numbers": "NotPrometheus",
        "an integer of 100,000 digits": "NotPrometheus",
        "endless body": "NotPrometheus",
        "endless chunks": "NotPrometheus",
        "not found, with a page": "PathNotFound",
        "redirect to itself": "NotPrometheus",
        "redirect to metadata": "NotPrometheus",
        "terminal sequences": "HTTPServerError",
    },
    "registry": {
        **SLOW,
        **CLOSED,
        "realm on loopback": "RedirectNotFollowed",
        "realm at another server of the pod": "AddressNotAllowed",
    },
    "object store": {
        "JSON nested 100,000 deep": "AWSError",
        "an integer of 100,000 digits": "AWSError",
        "not found, with a page": "BucketNotFound",
        "terminal sequences": "AWSError",
    },
    "PostgreSQL": {"silent": "ConnectionTimeout", **CLOSED, **dict.fromkeys(POSTGRES, "QueryFailed")},
}
"""The reason of each, where it is not that of its kind."""
KINDS: list[tuple[str, Callable[[str], Tree], tuple[dict[str, Script], ...], str]] = [
    ("Redis", redis_spec, (ANY, REDIS), "NotRedis"),
    ("Prometheus", prometheus_spec, (ANY, HTTP), "ServerNotHTTP"),
    ("registry", registry_spec, (ANY, HTTP, REGISTRY), "NotARegistry"),
    ("object store", store_spec, (ANY, HTTP), "AWSUnreachable"),
    ("PostgreSQL", database_spec, (ANY, POSTGRES), "NotPostgreSQL"),
]


def attacks() -> Iterator[Attack]:
    for kind, spec, tables, usual in KINDS:
        for name, script in {name: script for table in tables for name, script in table.items()}.items():
            says = SAID[kind].get(name, usual)
            yield Attack(name=f"{kind}: {name}", script=script, tls=kind == "registry", spec=spec, says=says)
