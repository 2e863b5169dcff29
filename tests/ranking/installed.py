"""One row on the stage: installed by Helm, then broken as it says, then with its endpoints."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from demo.stage import PASSWORD, TOLERATIONS, endpoint, image_cache
from mehc_checks.engine.request import CheckRequest, Request
from mehc_checks.modelengine.accelerators import ACCELERATOR_LABEL
from mehc_checks.modelengine.configuration import Configuration
from mehc_checks.modelengine.endpoints import cache_key, demand_key
from mehc_checks.modelengine.names import fullname
from mehc_checks.modelengine.scaling import resource_name
from mehc_checks.modelengine.values import Layer, Values
from mehc_checks.modelengine.workloads import BUILDER, CACHER
from ranking import manifests
from ranking.rows import Row, is_shared
from ranking.stage import NOTHING, PRIVATE, TEMPLATE, Stage
from testbed.controlplane import ApiError
from testbed.endpoints import World
from testbed.helm import Helm, HelmError, HelmInstallation
from testbed.installation import DATABASE_SECRET, Tree, overlaid, without
from testbed.kwok import STAGE_LABEL
from testbed.scaledobjects import scaled_object
from testbed.waiting import eventually

LONG = timedelta(seconds=60)
GONE = ("UPDATE_PENDING", "UPDATE_FAILED")
"""States of endpoints that have no workload here."""


class Installed:
    """``number`` makes the names of its endpoints and of its database its own."""

    def __init__(self, here: Stage, row: Row, number: int, helm: Helm) -> None:
        self.row = row
        self._here, self._plane, self._helm, self._number = here, here.plane, helm, number
        self._values = here.values(row)
        self._database = f"row_{number}"
        self._has_record = bool(row.endpoints) and row.database == "$sound"
        placed = HelmInstallation(namespace=row.namespace, values=here.values(row))
        self.own, self.endpoints = placed.namespace, placed.endpoints
        self._helm_values = here.lacking(row, placed.helm_values()) if row.without else placed.helm_values()
        self._world = World(
            plane=here.plane,
            kwok=here.kwok,
            postgres=here.servers.postgres,
            redis=here.servers.plain if row.cloud == "onprem" else here.servers.shared,
            database=self._database,
            namespace=self.endpoints,
        )

    @property
    def names(self) -> dict[str, str]:
        """The Deployments of the control plane by role."""
        name = fullname(Values.merged([Layer(source="values", values=self._values)]))
        return {"gateway": name, "cacher": name + CACHER, "builder": name + BUILDER}

    # The installation

    def install(self) -> None:
        """By Helm, with what the row's namespaces hold besides."""
        row, url = self.row, self._here.filled(self.row.database)
        if self._has_record:
            postgres = self._here.servers.postgres
            postgres.create_database(self._database, owner="modelengine", template=TEMPLATE)
            url = postgres.url("modelengine", PASSWORD, self._database)
        for name in (self.own, self.endpoints):
            labels = dict(row.labels) if name == self.endpoints else {}
            self._plane.api("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        if url:
            self._secret(DATABASE_SECRET, {"database_url": url})
        if row.cloud == "onprem":
            self._secret(
                "s3-credentials", dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")
            )
        for manifest in row.own:
            self._apply(manifest, self.own)
        for manifest in row.objects:
            self._apply(manifest, self.endpoints)
        try:
            self._helm.install("model-engine", self.own, self._helm_values)
        except HelmError:
            if row.install != "fails":
                raise
        for upgrade in row.upgrades:
            self._upgrade(upgrade)
        for role, image in row.images.items():
            self._set_image(self.names[role], image)
        caches = image_cache()
        if row.caches:
            caches["spec"]["template"]["metadata"]["labels"][STAGE_LABEL] = row.caches
        self._plane.api("POST", self._world.path("daemonsets", group="apps"), caches)

    def _apply(self, manifest: Tree, namespace: str) -> None:
        self._plane.apply(manifests.placed(manifest, namespace))
        if (
            manifest["kind"] == "ResourceQuota"
        ):  # no controller of them runs here; admission goes by the status
            hard = manifest["spec"]["hard"]
            path = f"/api/v1/namespaces/{namespace}/resourcequotas/{manifest['metadata']['name']}/status"
            self._here.patch(path, {"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}})

    def _secret(self, name: str, data: Mapping[str, str]) -> None:
        self._plane.api("POST", self._path("secrets"), {"metadata": {"name": name}, "stringData": dict(data)})

    def _upgrade(self, upgrade: Tree) -> None:
        if "rollback" in upgrade:
            self._helm.run("rollback", "model-engine", str(upgrade["rollback"]), "-n", self.own)
            return
        values = overlaid(self._helm_values, self._here.filled(upgrade.get("values", {})))
        for path in upgrade.get("without", ()):
            values = without(values, path)
        self._helm.upgrade("model-engine", self.own, values)

    def _set_image(self, name: str, image: str) -> None:
        body: Tree = {"spec": {"template": {"spec": {"containers": [{"name": name, "image": image}]}}}}
        path = self._path("deployments", name, group="apps")
        self._plane.api("PATCH", path, body, content_type="application/strategic-merge-patch+json")

    def _path(self, resource: str, name: str = "", group: str = "") -> str:
        root = f"/apis/{group}/v1" if group else "/api/v1"
        return f"{root}/namespaces/{self.own}/{resource}" + (f"/{name}" if name else "")

    # What is wrong with it

    def break_(self) -> None:
        """To an installation that is up, what the row says; returns when its components know it."""
        row = self.row
        if row.pull_secret:
            secret = manifests.pull_secret("regcred", PRIVATE, row.pull_secret)
            self._plane.api("POST", self._world.path("secrets"), secret)
            account = self._world.path("serviceaccounts", "model-engine-endpoints")
            self._here.patch(account, {"imagePullSecrets": [{"name": "regcred"}]})
        if row.webhook:
            path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
            self._plane.api("POST", path, manifests.webhook(self.endpoints, NOTHING))
        if row.job:
            self._fail_job()
        if row.rotated:
            self._age_pods()
        for _ in range(row.queue):
            self._world.redis.call("LPUSH", f"queue-{row.namespace}", "{}")
        for role, trouble in row.pods.items():
            for pod in self._pods(self.names[role]):
                label = {"metadata": {"labels": {STAGE_LABEL: trouble}}}
                self._here.patch(self._path("pods", pod["metadata"]["name"]), label)
        for role in row.pods:
            path = self._path("deployments", self.names[role], group="apps")
            eventually(
                lambda path=path: self._plane.api("GET", path)["status"].get("readyReplicas"),
                lambda ready: not ready,
            )
        for change in row.cluster:
            if not is_shared(change):
                path = self._here.filled(change["delete"], own=self.own, endpoints=self.endpoints)
                self._plane.api("DELETE", path)
                eventually(lambda path=path: self._exists(path), lambda exists: not exists)

    def _pods(self, name: str) -> list[Tree]:
        found = self._plane.api("GET", self._path("pods") + f"?labelSelector=app%3D{name}")["items"]
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def _exists(self, path: str) -> bool:
        try:
            self._plane.api("GET", path)
        except ApiError as error:
            if error.code != 404:
                raise
            return False
        return True

    def _fail_job(self) -> None:
        """The migration of the last upgrade."""
        name = f"{self.names['gateway']}-database-migration-1"
        self._plane.api("POST", self._path("jobs", group="batch"), manifests.migration_job(name))
        pods = self._path("pods") + f"?labelSelector=job-name%3D{name}"
        (made,) = eventually(lambda: self._plane.api("GET", pods)["items"], bool)
        self._here.patch(
            self._path("pods", made["metadata"]["name"]) + "/status", {"status": {"phase": "Failed"}}
        )
        eventually(
            lambda: self._plane.api("GET", self._path("jobs", name, group="batch"))["status"],
            lambda status: any(each["type"] == "Failed" for each in status.get("conditions", ())),
        )

    def _age_pods(self) -> None:
        """Its pods started long before the Secrets that they read were written."""
        then = (datetime.now(UTC) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name in self.names.values():
            for pod in self._pods(name):
                statuses = [
                    {**each, "state": {"running": {"startedAt": then}}}
                    for each in pod["status"]["containerStatuses"]
                ]
                path = self._path("pods", pod["metadata"]["name"]) + "/status"
                self._here.patch(path, {"status": {"containerStatuses": statuses}})

    # Its endpoints

    def populate(self) -> None:
        """Make the endpoints, each with its record, and wait until something holds or serves each of them."""
        for given in self.row.endpoints:
            self._endpoint(**given)
        if self.row.balloons:
            self._plane.api("POST", self._path("deployments", group="apps"), manifests.balloon())
        if self.row.endpoints:
            eventually(self._undecided, lambda names: not names)

    def _endpoint(
        self,
        *,
        name: str,
        state: str = "READY",
        reason: str = "",
        stage: str = "",
        image: str = "",
        accelerator: str = "",
        gpus: int = 0,
        priority: str = "",
        account: str = "",
        zero: str = "",
        demand: int = 0,
        autoscaled: bool = False,
    ) -> None:
        unique = f"end-{name}-{self._number}"
        id_ = unique.replace("-", "_")
        if self._has_record:
            self._world.record(state, endpoint_id=id_, name=name, reason=reason)
        if state in GONE:
            return
        database = 0 if self.row.cloud == "onprem" else 15
        self._world.redis.call("SET", cache_key("", id_), "{}", "EX", 3600, db=database)
        pod: Tree = {"terminationGracePeriodSeconds": 0}
        if accelerator:
            pod |= {"nodeSelector": {ACCELERATOR_LABEL: accelerator}, "tolerations": TOLERATIONS}
        if priority:
            pod["priorityClassName"] = priority
        if account:
            pod["serviceAccountName"] = account
        made = endpoint(unique, image=image, stage=stage, **pod)
        made["spec"]["replicas"] = 0 if zero else 1
        limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
        made["spec"]["template"]["spec"]["containers"][1]["resources"] = {"limits": limits}
        self._plane.api("POST", self._world.path("deployments", group="apps"), made)
        if zero:
            self._scale_from_zero(id_, ready=zero == "asleep")
        for _ in range(demand):
            self._world.redis.call("LPUSH", demand_key(id_), "1", db=database)
        if autoscaled:
            path = self._world.path("horizontalpodautoscalers", group="autoscaling", version="v2")
            self._plane.api("POST", path, manifests.autoscaler(id_))

    def _scale_from_zero(self, id_: str, *, ready: bool) -> None:
        configuration = Configuration(Values.merged([Layer(source="values", values=self._values)]))
        cache = configuration.text("config.values.launch.cache_redis_aws_url") or ""
        path = self._world.path("scaledobjects", group="keda.sh", version="v1alpha1")
        made = scaled_object(configuration, id_, namespace=self.endpoints, cache_url=cache)
        self._plane.api("POST", path, made)
        condition = {
            "type": "Ready",
            "status": "True" if ready else "False",
            "reason": "ScaledObjectReady" if ready else "ScaledObjectCheckFailed",
        }
        self._here.patch(f"{path}/{resource_name(id_)}/status", {"status": {"conditions": [condition]}})

    def _undecided(self) -> list[str]:
        """Endpoints whose pods are neither ready nor known to be in trouble."""
        pods = self._plane.api("GET", self._world.path("pods"))["items"]
        held = {pod["metadata"]["labels"].get("app") for pod in pods if manifests.is_held(pod)}
        return [
            each["metadata"]["name"]
            for each in self._plane.api("GET", self._world.path("deployments", group="apps"))["items"]
            if not manifests.is_up(each)
            and not manifests.is_refused(each)
            and each["metadata"]["labels"]["app"] not in held
        ]

    # Its judgement

    def request(self) -> Request:
        at_once = CheckRequest(parameters={"gracePeriod": "0s", "loadingGracePeriod": "0s"})
        asked = CheckRequest(parameters={"gatewayUrl": self._here.gateways[self.row.gateway]})
        joined = CheckRequest(parameters={"joiningGracePeriod": "0s"})
        return Request(
            namespace=self.own,
            timeout=LONG,
            checks={"EndpointsReady": at_once, "ControlPlaneReady": asked, "GpuNodesReady": joined},
        )
