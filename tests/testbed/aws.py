"""An emulator of AWS's APIs (moto's server) on real HTTP: ECR, S3, SQS, STS, Secrets Manager and the rest."""

import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.ports import LOOPBACK, free_port
from testbed.process import Process

REGION = "us-east-1"
ACCOUNT = "123456789012"


class Aws(Process):
    """The emulator. `enforce_iam`: requests are refused unless an IAM policy allows them, as AWS would."""

    start_timeout = 60.0

    def __init__(self, *, enforce_iam: bool = False) -> None:
        super().__init__("aws")
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._enforce_iam = enforce_iam

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self.port)]

    def environment(self) -> Mapping[str, str]:
        return {"INITIAL_NO_AUTH_ACTION_COUNT": "0"} if self._enforce_iam else {}

    def ready(self) -> bool:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/moto-api/", timeout=2) as response:
            return bool(response.status == 200)

    def client_environment(self, *, region: str = REGION) -> dict[str, str]:
        """Variables by which an AWS client of any language finds the emulator, with an identity that it knows."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": region,
        }

    def client(self, service: str, *, region: str = REGION) -> Any:
        """A boto3 client of the testbed's own."""
        import boto3

        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
