"""Resources as the API server has them, with the status that an operator has stored; for what only renders it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from testbed.installation import Tree

NOW = datetime(2026, 11, 28, 4, 0, 0, tzinfo=UTC)
DOCS = "https://docs.example/docs/checks"
HOSTILE = "</style></title><script>document.title='taken'</script><img src=x onerror=alert(1)>"


def ago(now: datetime = NOW, **time: float) -> str:
    """A time before ``now``, as the API server writes it."""
    return f"{now - timedelta(**time):%Y-%m-%dT%H:%M:%SZ}"


def resource(namespace: str = "acme", name: str = "model-engine", *, version: int = 1, **status: Any) -> Tree:
    """A ModelEngineHealthCheck. Each has a uid of its own."""
    return {
        "metadata": {
            "namespace": namespace,
            "name": name,
            "uid": f"{namespace}-{name}",
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": ago(days=3),
        },
        "spec": {"values": {"dbPassword": "planted-in-the-spec"}},
        "status": status,
    }


def healthy(now: datetime = NOW) -> Tree:
    """A status whose only check passes."""
    return {
        "health": "Healthy",
        "passing": "1/1",
        "observedGeneration": 1,
        "lastProbeTime": ago(now, seconds=40),
        "checks": [check("RedisReachable", now=now)],
    }


def failing(now: datetime = NOW, *, message: str = "redis.acme:6379 refused the connection") -> Tree:
    """A status with all that one can have: a cause with a consequence, warnings, endpoints, a mute, a history."""
    refused = finding(
        "ConnectionRefused", message, "Start Redis, then run `kubectl get pods -n acme`.", "cache"
    )
    small = finding("PoolTooSmall", "db_engine_pool_size is 2", "Set it to 10.", status="Warn")
    stuck = finding("EndpointStuck", "llama is stuck", "Free a GPU.", "llama")
    cause = {key: refused[key] for key in ("reason", "severity", "message", "remediation", "docs")}
    return {
        "health": "Failing",
        "passing": "1/4",
        "observedGeneration": 1,
        "cause": "RedisReachable/ConnectionRefused",
        "lastProbeTime": ago(now, seconds=40),
        "release": {"name": "model-engine", "revision": 4, "status": "deployed"},
        "rootCauses": [{**cause, "check": "RedisReachable", "endpoints": 1, "explains": ["EndpointsReady"]}],
        "checks": [
            check("ConfigValid", small, now=now),
            check("DatabaseMigrated", now=now),
            check("EndpointsReady", stuck, now=now),
            {**check("ObjectStoreReachable", now=now), "status": "Skip", "message": "not configured"},
            check("RedisReachable", refused, now=now),
        ],
        "stuckEndpoints": 1,
        "endpoints": [
            {
                "endpointId": "end_abc",
                "name": "llama",
                "kind": "async",
                "ready": 0,
                "desired": 2,
                "cause": "Unschedulable",
                "message": "5 Insufficient nvidia.com/gpu",
                "remediation": "Free a GPU.",
            }
        ],
        "mutes": [
            {
                "check": "ConfigValid",
                "until": ago(now, hours=-4),
                "why": "known, OPS-12",
                "state": "Active",
                "covers": ["PoolTooSmall"],
            }
        ],
        "history": [
            {
                "time": ago(now, minutes=40),
                "check": "RedisReachable",
                "from": "Pass",
                "to": "Fail",
                "reason": "ConnectionRefused",
                "duration": "3h",
                "changes": [{"time": ago(now, minutes=42), "what": "Secret redis-auth"}],
            }
        ],
    }


def check(name: str, *findings: Tree, now: datetime = NOW) -> Tree:
    """A check with these findings, worst first; passing where there is none."""
    first = findings[0] if findings else {"status": "Pass", "reason": name, "message": "fine"}
    return {
        "name": name,
        "severity": "critical",
        "since": ago(now, hours=3),
        "findings": list(findings),
        **{key: first[key] for key in ("status", "reason", "message")},
    }


def finding(reason: str, message: str, fix: str, subject: str = "", *, status: str = "Fail") -> Tree:
    """What does not pass."""
    return {
        "subject": subject,
        "status": status,
        "severity": "critical",
        "reason": reason,
        "message": message,
        "remediation": fix,
        "docs": f"{DOCS}/{reason}",
    }
