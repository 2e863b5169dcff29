"""What the kubelet makes of ``env`` and ``envFrom``: a table of containers, and the variables that each then has.

Source: ``makeEnvironmentVariables`` and ``third_party/forked/golang/expansion`` of Kubernetes, "Define Dependent
Environment Variables" and "Accessing Services" of its documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Item = Mapping[str, Any]
OBJECTS: Final[tuple[Item, ...]] = (
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pg"},
        "stringData": {
            "host": "pg.example",
            "password": "s3cret",
            "line": "s3cret\n",
            "empty": "",
            "DB_HOST": "of-pg",
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "other"},
        "stringData": {"DB_HOST": "of-other", "a.b": "dotted", "1st": "digit", "reference": "$(FIRST)"},
    },
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "binary"}, "data": {"key": "/w=="}},
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"host": "cm.example", "DB_HOST": "of-settings"},
        "binaryData": {"bytes": "/w=="},
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "my-redis"},
        "spec": {
            "selector": {"app": "x"},
            "ports": [{"name": "data", "port": 6379}, {"name": "bus", "port": 16379}],
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "headless"},
        "spec": {"clusterIP": "None", "selector": {"app": "x"}, "ports": [{"port": 6379}]},
    },
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A container of a pod, what it then has (None: it is not set), or ``fails`` with words of why it is not created.

    ``{ADDRESS}`` in an expected value is the address of Service my-redis.
    """

    id: str
    env: tuple[Item, ...] = ()
    env_from: tuple[Item, ...] = ()
    has: Mapping[str, str | None] = field(default_factory=dict)
    fails: str = ""
    links: bool | None = None


def value(name: str, text: str) -> Item:
    """A variable as it is written."""
    return {"name": name, "value": text}


def secret(name: str, key: str, of: str = "pg", **more: Any) -> Item:
    """A variable from a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": of, "key": key, **more}}}


def setting(name: str, key: str, of: str = "settings", **more: Any) -> Item:
    """A variable from a ConfigMap."""
    return {"name": name, "valueFrom": {"configMapKeyRef": {"name": of, "key": key, **more}}}


def of_pod(name: str, path: str) -> Item:
    """A variable of the downward API."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def whole(kind: str, name: str, prefix: str = "", **more: Any) -> Item:
    """All keys of an object."""
    return {f"{kind}Ref": {"name": name, **more}, **({"prefix": prefix} if prefix else {})}


CASES: Final = (
    Case(id="a value", env=(value("A", "x"),), has={"A": "x", "B": None}),
    Case(id="no value", env=({"name": "A"},), has={"A": ""}),
    Case(id="of a Secret", env=(secret("A", "password"),), has={"A": "s3cret"}),
    Case(id="of a ConfigMap", env=(setting("A", "host"),), has={"A": "cm.example"}),
    Case(id="a newline is kept", env=(secret("A", "line"),), has={"A": "s3cret\n"}),
    Case(id="an empty key", env=(secret("A", "empty"),), has={"A": ""}),
    Case(id="twice", env=(value("A", "x"), value("A", "y")), has={"A": "y"}),
    Case(id="optional, no Secret", env=(secret("A", "k", of="none", optional=True),), has={"A": None}),
    Case(id="optional, no key", env=(secret("A", "none", optional=True),), has={"A": None}),
    Case(id="optional, no ConfigMap", env=(setting("A", "k", of="none", optional=True),), has={"A": None}),
    Case(id="optional and there", env=(setting("A", "host", optional=True),), has={"A": "cm.example"}),
    Case(
        id="optional and missing keeps the value before it",
        env=(value("A", "x"), secret("A", "none", optional=True)),
        has={"A": "x"},
    ),
    Case(
        id="optional and missing keeps what envFrom gives",
        env=(setting("DB_HOST", "none", optional=True),),
        env_from=(whole("secret", "pg"),),
        has={"DB_HOST": "of-pg"},
    ),
    Case(id="no Secret", env=(secret("A", "k", of="none"),), fails="none"),
    Case(id="no key", env=(secret("A", "absent"),), fails="absent"),
    Case(id="no ConfigMap", env=(setting("A", "k", of="none"),), fails="none"),
    Case(id="binary data of a ConfigMap is no variable", env=(setting("A", "bytes"),), fails="bytes"),
    Case(
        id="a missing reference that is replaced",
        env=(secret("A", "absent"), value("A", "x")),
        fails="absent",
    ),
    Case(id="envFrom", env_from=(whole("secret", "pg"),), has={"host": "pg.example", "line": "s3cret\n"}),
    Case(
        id="envFrom with a prefix",
        env_from=(whole("configMap", "settings", "P_"),),
        has={"P_host": "cm.example", "host": None},
    ),
    Case(
        id="the later envFrom wins",
        env_from=(whole("secret", "pg"), whole("secret", "other")),
        has={"DB_HOST": "of-other", "password": "s3cret"},
    ),
    Case(
        id="the later envFrom wins, the other way round",
        env_from=(whole("secret", "other"), whole("configMap", "settings")),
        has={"DB_HOST": "of-settings"},
    ),
    Case(
        id="env wins over envFrom",
        env=(value("DB_HOST", "own"),),
        env_from=(whole("secret", "pg"),),
        has={"DB_HOST": "own"},
    ),
    Case(id="envFrom without an object", env_from=(whole("secret", "none"),), fails="none"),
    Case(
        id="envFrom without an optional object",
        env_from=(whole("secret", "none", optional=True),),
        has={"A": None},
    ),
    Case(id="a name with a dot", env_from=(whole("secret", "other"),), has={"a.b": "dotted"}),
    Case(
        id="what a Secret holds is not expanded",
        env=(value("FIRST", "x"), secret("A", "reference", of="other")),
        has={"A": "$(FIRST)"},
    ),
    Case(id="a reference", env=(value("A", "x"), value("B", "<$(A)>")), has={"B": "<x>"}),
    Case(id="two references", env=(value("A", "x"), value("B", "$(A)$(A)")), has={"B": "xx"}),
    Case(
        id="a reference to a Secret's",
        env=(secret("A", "password"), value("B", "u:$(A)@h")),
        has={"B": "u:s3cret@h"},
    ),
    Case(
        id="a reference to envFrom's",
        env=(value("B", "$(host)"),),
        env_from=(whole("secret", "pg"),),
        has={"B": "pg.example"},
    ),
    Case(id="a reference forward", env=(value("B", "$(A)"), value("A", "x")), has={"B": "$(A)", "A": "x"}),
    Case(id="a reference to nothing", env=(value("B", "$(NONE)"),), has={"B": "$(NONE)"}),
    Case(id="a reference to itself", env=(value("A", "x"), value("A", "$(A)y")), has={"A": "xy"}),
    Case(
        id="a reference to what is optional and missing",
        env=(secret("A", "none", optional=True), value("B", "$(A)")),
        has={"B": "$(A)"},
    ),
    Case(
        id="what a reference brings is not expanded again",
        env=(value("X", "1"), value("A", "$$(X)"), value("B", "$(A)")),
        has={"A": "$(X)", "B": "$(X)"},
    ),
    Case(id="an escape", env=(value("A", "x"), value("B", "$$(A)")), has={"B": "$(A)"}),
    Case(id="an escape before a reference", env=(value("A", "x"), value("B", "$$$(A)")), has={"B": "$x"}),
    Case(id="two dollars", env=(value("A", "a$$b"),), has={"A": "a$b"}),
    Case(id="one dollar", env=(value("X", "x"), value("A", "a$b$X$")), has={"A": "a$b$X$"}),
    Case(id="never closed", env=(value("X", "x"), value("A", "$(X")), has={"A": "$(X"}),
    Case(id="braces are no reference", env=(value("X", "x"), value("A", "${X}")), has={"A": "${X}"}),
    Case(
        id="a reference within a reference",
        env=(value("X", "x"), value("A", "$($(X))")),
        has={"A": "$($(X))"},
    ),
    Case(id="a label", env=(of_pod("A", "metadata.labels['app']"),), has={"A": "model-engine"}),
    Case(id="the account", env=(of_pod("A", "spec.serviceAccountName"),), has={"A": "default"}),
    Case(
        id="a Service",
        env=(value("A", "$(MY_REDIS_SERVICE_HOST):$(MY_REDIS_SERVICE_PORT)"),),
        has={"A": "{ADDRESS}:6379"},
    ),
    Case(
        id="a Service as Docker's links had it",
        env=(value("A", "$(MY_REDIS_PORT) $(MY_REDIS_PORT_16379_TCP_PORT)"),),
        has={"A": "tcp://{ADDRESS}:6379 16379"},
    ),
    Case(
        id="a named port of a Service", env=(value("A", "$(MY_REDIS_SERVICE_PORT_BUS)"),), has={"A": "16379"}
    ),
    Case(
        id="a variable goes before a Service's",
        env=(value("MY_REDIS_PORT", "1"), value("A", "$(MY_REDIS_PORT)")),
        has={"A": "1"},
    ),
    Case(
        id="a headless Service",
        env=(value("A", "$(HEADLESS_SERVICE_HOST)"),),
        has={"A": "$(HEADLESS_SERVICE_HOST)"},
    ),
    Case(
        id="no links to Services",
        env=(value("A", "$(MY_REDIS_SERVICE_HOST)"),),
        links=False,
        has={"A": "$(MY_REDIS_SERVICE_HOST)"},
    ),
)
