"""Why what is installed could not be told: every check can have these."""

from mehc_checks.core.outcome import SHARED_PAGE, Reason, ReasonSet, Status


class InstallationReasons(ReasonSet):
    """They say nothing about whether the installation works.

    ``release_field`` is how the caller is told a release: "spec.release.name", "--release".
    """

    INSTALLATION_NOT_FOUND = Reason(
        "InstallationNotFound",
        Status.ERROR,
        "The namespace has no Helm release of model engine and no Deployments of its control plane.",
        message="no model engine installation found in namespace {namespace}{detail}",
        remedy="{fix}",
        defaults={
            "fix": "Create the resource in the namespace the chart is installed in, or set spec.values.",
            "detail": "",
        },
        page=SHARED_PAGE,
    )
    RELEASE_NOT_FOUND = Reason(
        "ReleaseNotFound",
        Status.ERROR,
        "The namespace has no Helm release of that name, or it is not a release of model engine.",
        message="namespace {namespace} has no model engine release {release}{detail}",
        remedy="Correct {release_field}, or leave it out to use the release found in the namespace.",
        defaults={"release_field": "spec.release.name", "detail": ""},
        page=SHARED_PAGE,
    )
    RELEASE_AMBIGUOUS = Reason(
        "ReleaseAmbiguous",
        Status.ERROR,
        "The namespace has several releases of model engine.",
        message="namespace {namespace} has several model engine releases: {releases}",
        remedy="Set {release_field} to one of {releases}.",
        defaults={"release_field": "spec.release.name"},
        page=SHARED_PAGE,
    )
    RELEASE_UNREADABLE = Reason(
        "ReleaseUnreadable",
        Status.ERROR,
        "The Secret in which Helm stores the release cannot be decoded.",
        message="Secret {secret} cannot be read as a Helm release: {detail}",
        remedy="Run helm upgrade to write a new revision, or set spec.values.",
        page=SHARED_PAGE,
    )
    INSTALLATION_AMBIGUOUS = Reason(
        "InstallationAmbiguous",
        Status.ERROR,
        "The namespace has the control planes of several installations, and no Helm release.",
        message="namespace {namespace} has several model engine installations: {names}",
        remedy="Set spec.values.fullnameOverride to one of {names}.",
        page=SHARED_PAGE,
    )
    VALUES_INVALID = Reason(
        "ValuesInvalid",
        Status.ERROR,
        "spec.valuesFrom names an object or key that does not exist, or that is not YAML.",
        message="{detail}",
        remedy="Correct spec.valuesFrom, or the object that it names.",
        page=SHARED_PAGE,
    )
    NAMESPACE_NOT_VERIFIED = Reason(
        "EndpointNamespaceNotVerified",
        Status.ERROR,
        "The endpoint namespace does not say that it belongs to this installation, so its Secrets are not read.",
        message="endpoint namespace {namespace} is not verified to belong to this installation: {detail}",
        remedy="Set config.values.launch.endpoint_namespace to the namespace the chart was installed with, or run "
        "helm upgrade so that the chart's service ConfigMap exists in it.",
        page=SHARED_PAGE,
    )
    NOT_VERIFIED = Reason(
        "NotVerified",
        Status.ERROR,
        "The values name something that the live workloads of the installation do not name, so the operator does not "
        "use its own rights, or its AWS identity, for it.",
        message="{concerning}{what} is not named by the live workloads in namespace {namespace}, so the operator does "
        "not use it",
        remedy="Apply the values to the installation, run mehc check -n {namespace} with your own identity, or have an "
        "administrator add {namespace} to probes.trustedNamespaces of the operator's chart.",
        defaults={"concerning": ""},
        page=SHARED_PAGE,
    )
    SECRET_TYPE_NOT_ALLOWED = Reason(
        "SecretTypeNotAllowed",
        Status.ERROR,
        "The values name a Secret that belongs to Kubernetes or Helm itself, so it is not read.",
        message="Secret {secret} in namespace {namespace} is of type {type}, which is never read as credentials",
        remedy="Correct the value that names Secret {secret}: it must name the Secret with the credentials.",
        page=SHARED_PAGE,
    )
    RECORD_NOT_READ = Reason(
        "RecordNotRead",
        Status.ERROR,
        "The platform's table of endpoints could not be read, so endpoints that have no pods are not seen.",
        message="the platform's table of endpoints could not be read: {detail}",
        remedy="Fix what DatabaseMigrated reports.",
        page=SHARED_PAGE,
    )


class EnvironmentReasons(ReasonSet):
    """What keeps a container of the platform from its environment; ``variable`` is the one that a check reads."""

    SECRET_NOT_FOUND = Reason(
        "SecretNotFound",
        Status.FAIL,
        "A Secret that the pods read does not exist: they stay in CreateContainerConfigError.",
        message="Secret {secret} does not exist in namespace {namespace}; pods read {variable} from its key {key}",
        remedy="Run `kubectl create secret generic {secret} -n {namespace} --from-literal={key}=VALUE`.",
    )
    SECRET_KEY_NOT_FOUND = Reason(
        "SecretKeyNotFound",
        Status.FAIL,
        "A Secret that the pods read lacks the key that they read: they stay in CreateContainerConfigError.",
        message="Secret {secret} has no key {key}, from which pods read {variable}",
        remedy="Add the key {key} to Secret {secret} in namespace {namespace}.",
    )
    CONFIG_MAP_NOT_FOUND = Reason(
        "ConfigMapNotFound",
        Status.FAIL,
        "A ConfigMap that the pods read, or the key in it, does not exist: they stay in CreateContainerConfigError.",
        message="ConfigMap {config_map} with key {key} does not exist in namespace {namespace}; pods read {variable} "
        "from it",
        remedy="Create ConfigMap {config_map} in namespace {namespace} with the key {key}.",
    )
    ENV_FROM_NOT_FOUND = Reason(
        "EnvFromNotFound",
        Status.FAIL,
        "A Secret or ConfigMap that the pods take their environment from (envFrom) does not exist: they stay in "
        "CreateContainerConfigError.",
        message="{kind} {object} of envFrom does not exist in namespace {namespace}: pods stay in "
        "CreateContainerConfigError",
        remedy="Create {kind} {object} in namespace {namespace}, or remove it from envFrom.",
    )
    SERVICE_LINK = Reason(
        "ServiceLinkVariable",
        Status.FAIL,
        "Nothing sets a port, so the pods get the variable that Kubernetes makes for a Service of that name, which is "
        "a URL and not a number.",
        message="{variable} is {value}, made by Kubernetes for Service {service}: the platform cannot read it as a "
        "port",
        remedy="Set {variable} where its host is set, rename Service {service} in namespace {namespace}, or set "
        "enableServiceLinks: false in the pods.",
    )
    LOCAL_TO_POD = Reason(
        "ReachableOnlyInPod",
        Status.ERROR,
        "The address is the pod's own (localhost), where a sidecar such as cloud-sql-proxy serves it: only processes "
        "of that pod reach it.",
        message="{concerning}{host} is the {component}'s own pod, where sidecar {sidecars} may serve it: not testable "
        "from outside the pod",
        remedy="Check it by hand: kubectl logs -n {namespace} deployment/{workload} -c {sidecar}.",
        defaults={"concerning": ""},
    )
    NOTHING_ON_LOCALHOST = Reason(
        "NothingOnLocalhost",
        Status.FAIL,
        "The address is the pod's own (localhost), and the pod has no other container that could serve it.",
        message="{concerning}{host} is the {component}'s own pod, which has no sidecar that could serve it",
        remedy="Correct the host in {source}: in a pod, localhost is the pod itself.",
        defaults={"concerning": "", "source": "the configured address"},
    )
    VARIABLE_NOT_READ = Reason(
        "VariableNotRead",
        Status.ERROR,
        "A variable of the pods cannot be resolved: the operator is not allowed to read its source, or only the pods "
        "have it.",
        message="{variable} of the {component} cannot be resolved: {detail}",
        remedy="{fix}",
        defaults={
            "fix": "Give the variable that the message names as a value, or from a key of a Secret or ConfigMap.",
            "component": "gateway",
        },
    )
