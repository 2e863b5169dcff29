"""A real Celery worker in the builder's place."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.process import Process

QUEUE = "model-engine-service-builder"
TASK = "build"
"""Takes the number of seconds that it sleeps."""
_APP = f"""
import os, time
import celery

app = celery.Celery(broker=os.environ["BROKER"])


@app.task(name="{TASK}")
def build(seconds):
    time.sleep(seconds)
"""


class Builder(Process):
    """Listens on ``queue`` of ``broker``, a URL, started by the words of the builder's Deployment."""

    stop_timeout = 0.5  # it would end its tasks first

    def __init__(self, broker: str, *, queue: str = QUEUE) -> None:
        super().__init__("builder")
        self._broker = broker
        self._queue = queue

    def prepare(self) -> None:
        (self.directory / "app.py").write_text(_APP)

    def command(self) -> Sequence[str | Path]:
        words = ["worker", "--loglevel=INFO", "--concurrency=2", f"--queues={self._queue}"]
        return [sys.executable, "-m", "celery", "--app=app", *words]

    def environment(self) -> Mapping[str, str]:
        return {"BROKER": self._broker}

    def ready(self) -> bool:
        return " ready." in self.log_text()
