"""Registries that a real node pulls from, one for each thing that can be wrong with a registry."""

import threading
from contextlib import ExitStack

from testbed.httpserver import Reply, Request, Script, ScriptedServer
from testbed.node import Node
from testbed.node.archives import archive, busybox, push
from testbed.pki import CertificateAuthority
from testbed.ports import free_port
from testbed.process import temporary_directory
from testbed.realstates import CLOUD, DROPPED
from testbed.registry import PASSWORD, USER, ImageStore, Registry, TokenService

_ARM = bytes.fromhex("7f454c460201010000000000000000000200b70001000000") + b"\0" * 200
"""The beginning of a program for arm64."""


def serve(node: Node, stack: ExitStack) -> dict[str, str]:
    """Their addresses by what is wrong with them; ``stack`` ends them."""
    enter = stack.enter_context
    ca, stranger = CertificateAuthority("testbed registry CA"), CertificateAuthority("stranger CA")
    store = temporary_directory("images")
    tokens = TokenService(ca=ca, users={"": ("", frozenset()), USER: (PASSWORD, frozenset("*"))})
    enter(tokens.server)
    plain = enter(Registry(storage=store))
    issued = ca.issue()
    ended = threading.Event()

    def answers(script: Script) -> str:
        return enter(ScriptedServer(script, certificate=issued)).address

    def never(_: Request) -> Reply:
        ended.wait()
        return Reply(503)

    hosts = {
        "basic": enter(Registry(storage=store, certificate=issued, basic={USER: PASSWORD})).address,
        "token": enter(Registry(storage=store, certificate=issued, tokens=tokens)).address,
        "untrusted": enter(Registry(storage=store, certificate=stranger.issue())).address,
        "wrong host": enter(Registry(storage=store, certificate=ca.wrong_host())).address,
        "expired": enter(Registry(storage=store, certificate=ca.expired())).address,
        "no TLS": enter(Registry(storage=store)).address,
        "429": answers(lambda _: Reply(429)),
        "500": answers(lambda _: Reply(500)),
        "503": answers(lambda _: Reply(503)),
        "forbidden": answers(lambda _: Reply(403)),
        "slow": answers(never),
    }
    stack.callback(ended.set)
    for name, address in {**hosts, CLOUD: hosts["untrusted"]}.items():
        place = f'server = "https://{address}"\n[host."https://{address}"]\n'
        trust = f'  capabilities = ["pull", "resolve"]\n  ca = "{ca.ca_file}"\n'
        node.registry(CLOUD if name == CLOUD else address, place + trust)
    for address in (plain.address, tokens.server.address, *hosts.values()):
        node.reach(int(address.rpartition(":")[2]))
    node.run("iptables", "-A", "OUTPUT", "-d", DROPPED, "-j", "DROP")
    _fill(plain)
    return {**hosts, "plain": plain.address, "closed": str(free_port()), "dropped": f"{DROPPED}:5000"}


def _fill(plain: Registry) -> None:
    push(busybox("x:1", {"etc/vllm": b"vllm"}), f"{plain.address}/vllm:1")
    push(busybox("x:1", {"etc/private": b"private"}), f"{plain.address}/private:1")
    push(busybox("x:1", {"etc/lost": b"lost"}), f"{plain.address}/lost-layer:1")
    push(busybox("x:1", {"etc/plain": b"not a program\n"}), f"{plain.address}/text:1")
    push(archive("x:1", {"bin/main": _ARM}), f"{plain.address}/arm:1")
    images = ImageStore(plain)
    images.push_index("vllm-arm-index", "1", ("arm64",))
    images.lose_blob("lost-layer", images.manifest("lost-layer", "1")["layers"][0]["digest"])
