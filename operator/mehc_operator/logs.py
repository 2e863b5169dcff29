"""Log lines on stderr: for people, or one JSON object per line."""

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime"}
_OURS = ("mehc_operator", "mehc_checks")
_QUIET = ("kopf", "asyncio", "aiohttp.access")
"""Loggers that report their own routine at INFO; ``verbose`` shows it."""
_SILENT = ("botocore", "boto3", "urllib3", "kubernetes")
"""Loggers that report their own routine at INFO, and at DEBUG what they send and get: Secrets, too."""
_QUOTING = ("psycopg",)
"""Loggers whose warnings quote a server's own words."""


class JsonFormatter(logging.Formatter):
    """One object per line: time, level, logger, message, and what the call gave as ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {
            key: value
            for key, value in vars(record).items()
            if key not in _STANDARD and isinstance(value, str | int | float | bool)
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(*, as_json: bool, verbose: bool) -> None:
    """Set up the root logger; ``verbose`` shows our own DEBUG, and kopf's."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter() if as_json else logging.Formatter("%(asctime)s %(levelname)-7s %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.WARNING)
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _QUOTING:
        logging.getLogger(name).setLevel(logging.CRITICAL)
