"""How to reach the Kubernetes API: from inside a pod, or by a kubeconfig."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import client, config

from mehc_checks.core.errors import UsageError
from mehc_checks.installation.following import MOST

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Which cluster, as the command line says it. Empty fields mean what kubectl means by them.

    ``proxies``: whether HTTPS_PROXY and the like lead to the API, as they do for kubectl; never from inside a pod,
    where they are about what is outside.
    """

    kubeconfig: str = ""
    context: str = ""
    proxies: bool = True

    @property
    def in_cluster(self) -> bool:
        """Whether a pod's ServiceAccount is used: in a pod, unless a kubeconfig is asked for."""
        asked = self.kubeconfig or self.context or os.environ.get("KUBECONFIG")
        return not asked and "KUBERNETES_SERVICE_HOST" in os.environ

    @property
    def exists(self) -> bool:
        """Whether there is a cluster to ask at all."""
        return self.in_cluster or any(path.is_file() for path in self._files())

    async def load(self) -> client.Configuration:
        """The client's configuration. Raises UsageError in one line that names the file or context."""
        configuration = client.Configuration()
        configuration.connection_pool_maxsize = 64 + MOST  # of which watches hold one each
        configuration.client_session_kwargs = {"trust_env": self.proxies and not self.in_cluster}
        try:
            if self.in_cluster:
                config.load_incluster_config(  # type: ignore[no-untyped-call]
                    client_configuration=configuration, try_refresh_token=False
                )
                configuration.refresh_api_key_hook = _take_token  # type: ignore[assignment]
            else:
                files = os.pathsep.join(map(str, self._files()))
                if not self.exists:
                    raise UsageError(f"no kubeconfig at {files}")
                await config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=files,
                    context=self.context or None,
                    client_configuration=configuration,
                    persist_config=False,
                )
        except config.ConfigException as error:
            raise UsageError(f"kubeconfig: {_one_line(error)}") from None
        except yaml.YAMLError:
            raise UsageError(f"kubeconfig {files} is not YAML") from None
        except (OSError, UnicodeDecodeError, ValueError, TypeError, AttributeError, KeyError) as error:
            raise UsageError(f"kubeconfig cannot be used: {_one_line(error)}") from None
        return configuration

    def namespace(self) -> str:
        """The namespace of the context, or of the pod; "default" where none is set."""
        if self.in_cluster:
            file = _ACCOUNT / "namespace"
            return file.read_text().strip() if file.exists() else "default"
        return str(((self._active() or {}).get("context") or {}).get("namespace") or "default")

    def context_name(self) -> str:
        """The context in use; "" in a pod, or where the kubeconfig does not say."""
        return "" if self.in_cluster else self.context or str((self._active() or {}).get("name") or "")

    def contexts(self) -> list[tuple[str, str]]:
        """Name and namespace of each context of the kubeconfig; none where it cannot be read."""
        return [
            (str(item["name"]), str((item.get("context") or {}).get("namespace") or ""))
            for item in self._contexts()[0]
        ]

    def _active(self) -> dict[str, Any] | None:
        contexts, active = self._contexts()
        return next((item for item in contexts if item["name"] == self.context), active)

    def _contexts(self) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """All contexts, and the current one."""
        files = os.pathsep.join(map(str, self._files()))
        try:
            found: tuple[list[dict[str, Any]], dict[str, Any]] = config.list_kube_config_contexts(  # type: ignore[no-untyped-call]
                config_file=files
            )
        except (config.ConfigException, OSError, ValueError, TypeError, AttributeError, KeyError):
            return [], None
        return found

    def _files(self) -> list[Path]:
        named = self.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        return [Path(part).expanduser() for part in named.split(os.pathsep) if part]


def _take_token(configuration: client.Configuration) -> None:
    """Before each request, the token that the kubelet has put there last: the one before it may be rejected at once."""
    with suppress(OSError):
        if token := (_ACCOUNT / "token").read_text().strip():
            configuration.api_key["BearerToken"] = f"bearer {token}"


@asynccontextmanager
async def connected(access: Access) -> AsyncIterator[client.ApiClient]:
    """An API client, closed at the end. Raises UsageError."""
    configuration = await access.load()
    try:
        api = client.ApiClient(configuration)
        api.user_agent = "mehc"  # shows in audit logs, and as the manager of the fields that we write
    except OSError as error:  # ssl.SSLError is one: a certificate that is none
        raise UsageError(f"kubeconfig: {_one_line(error)}") from None
    async with api:
        yield api


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
