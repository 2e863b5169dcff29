"""A resource's spec as a request to the engine."""

from mehc_checks.core.errors import UsageError
from mehc_checks.engine.request import CheckRequest, Request
from mehc_checks.installation.sources import Reference
from mehc_checks.modelengine.values import Layer
from mehc_operator.models import Spec, ValuesSource


def request(spec: Spec, namespace: str) -> Request:
    """What ``spec`` asks for, of the installation in ``namespace``. Raises UsageError."""
    return Request(
        namespace=namespace,
        release=spec.release.name if spec.release else "",
        references=tuple(map(_reference, spec.values_from)),
        layers=(Layer(source="spec.values", values=spec.values),),
        timeout=spec.timeout_of(),
        checks={
            name: CheckRequest(
                skip="" if options.enabled else "disabled",
                severity=options.severity,
                timeout=spec.timeout_of(name) if options.timeout else None,
                parameters=options.parameters,
                field=f"spec.checks.{name}.parameters",
            )
            for name, options in spec.checks.items()
        },
        ignored_rules={rule.id: rule.reason for rule in spec.ignore_rules},
    )


def _reference(source: ValuesSource) -> Reference:
    reference = source.secret_key_ref or source.config_map_key_ref
    if reference is None:
        raise UsageError("spec.valuesFrom: an item has neither secretKeyRef nor configMapKeyRef")
    return Reference(
        kind="Secret" if source.secret_key_ref else "ConfigMap",
        name=reference.name,
        key=reference.key,
        optional=reference.optional,
    )
