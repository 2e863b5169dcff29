"""What may be logged, and by whom."""

import logging
from collections.abc import Iterator

import pytest

from mehc_operator import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    names = ["", *logs._OURS, *logs._QUIET, *logs._SILENT]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize(
    "name", ["botocore.parsers", "botocore.credentials", "urllib3.connectionpool", "kubernetes"]
)
def test_clients_never_log_what_they_send_and_get(name: str, verbose: bool) -> None:
    logs.configure(as_json=True, verbose=verbose)
    assert not logging.getLogger(name).isEnabledFor(logging.INFO)


def test_verbose_shows_our_own_and_kopfs_routine() -> None:
    logs.configure(as_json=False, verbose=False)
    assert not logging.getLogger("kopf.reactor").isEnabledFor(logging.INFO)
    assert not logging.getLogger("mehc_operator.reconcile").isEnabledFor(logging.DEBUG)
    logs.configure(as_json=False, verbose=True)
    assert logging.getLogger("kopf.reactor").isEnabledFor(logging.DEBUG)
    assert logging.getLogger("mehc_operator.reconcile").isEnabledFor(logging.DEBUG)
