"""Run the operator: watch ModelEngineHealthCheck resources and keep their status true."""

import argparse
import asyncio
import os

from mehc_checks.clients.network import reach
from mehc_operator.cli.options import cluster_arguments, network, port, positive


def arguments(parser: argparse.ArgumentParser) -> None:
    cluster_arguments(parser)
    parser.add_argument(
        "-n",
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="watch this namespace only; repeatable (default: the whole cluster)",
    )
    parser.add_argument(
        "--host",
        default="0.0.0.0",  # noqa: S104 - kubelets probe the pod's address
        help="address of the health endpoints /healthz and /readyz",
    )
    parser.add_argument(
        "--port", type=port, default=8080, help="port of the health endpoints; 0 takes a free one"
    )
    parser.add_argument(
        "--status-page-port",
        type=port,
        metavar="PORT",
        help="serve the status page, read-only, on this port of --host; 0 takes a free one (default: no page)",
    )
    parser.add_argument(
        "--probe-runs", type=positive, default=64, help="resources probed at the same time (default: 64)"
    )
    parser.add_argument(
        "--probes", type=positive, default=128, help="checks that run at the same time (default: 128)"
    )
    parser.add_argument(
        "--allow-address",
        action="append",
        default=[],
        type=network,
        metavar="CIDR",
        help="connect to these addresses although only this pod or its node reaches them (loopback, link-local, "
        "metadata, kubelets), which resources could otherwise not name; repeatable (default: none in a pod, elsewhere "
        "loopback, where the ports that are forwarded are)",
    )
    parser.add_argument(
        "--insecure-registry",
        action="append",
        default=[],
        metavar="HOST",
        help="ask this registry, host[:port], over plain HTTP where it has no TLS; repeatable",
    )
    parser.add_argument(
        "--trusted-namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="let the values of this namespace's resources name Secrets, and what this operator's AWS identity is used "
        "for, although no live workload does; a pattern, * is all namespaces; repeatable",
    )
    parser.add_argument(
        "--no-tripwires",
        dest="tripwires",
        action="store_false",
        help="hold no idle connections to the servers that checks ask (docs/tripwires.md)",
    )
    parser.add_argument(
        "--leader-elect",
        action="store_true",
        help="probe only while holding a Lease; needed wherever two operators might run",
    )
    parser.add_argument(
        "--leader-elect-resource-name",
        default="mehc",
        metavar="NAME",
        help="the Lease's name (default: mehc)",
    )
    parser.add_argument(
        "--leader-elect-resource-namespace",
        default="",
        metavar="NAMESPACE",
        help="the Lease's namespace (default: that of the pod, or of the kubeconfig's context)",
    )
    parser.add_argument(
        "--log-format", choices=["text", "json"], default=os.environ.get("MEHC_LOG_FORMAT", "text")
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log what kopf does as well")


def execute(options: argparse.Namespace) -> int:
    # Here and not above: kopf takes half a second to import, and `mehc check` does not need it.
    from mehc_operator import logs, main
    from mehc_operator.connection import Access

    logs.configure(as_json=options.log_format == "json", verbose=options.verbose)
    access = Access(kubeconfig=options.kubeconfig, context=options.context, proxies=False)
    allowed = tuple(options.allow_address) or (() if access.in_cluster else reach.LOOPBACK)
    reach.use(
        reach.Reach(
            restricted=True,
            allowed=allowed,
            insecure=frozenset(options.insecure_registry),
            trusted=frozenset(options.trusted_namespace),
        )
    )
    lease = None
    if options.leader_elect:
        lease = (
            options.leader_elect_resource_namespace or access.namespace(),
            options.leader_elect_resource_name,
        )
    asyncio.run(
        main.operate(
            main.Options(
                access=access,
                namespaces=tuple(options.namespace),
                host=options.host,
                port=options.port,
                page_port=options.status_page_port,
                runs=options.probe_runs,
                probes=options.probes,
                lease=lease,
                tripwires=options.tripwires,
            )
        )
    )
    return 0
