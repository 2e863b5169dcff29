"""An emulator of AWS's APIs (moto's server) on real HTTP: ECR, S3, SQS, STS, Secrets Manager and the rest."""

import json
import ssl
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.pki import LOCAL_NAMES, CertificateAuthority
from testbed.ports import LOOPBACK, free_port
from testbed.process import Process

REGION = "us-east-1"
ACCOUNT = "123456789012"


class Aws(Process):
    """The emulator. `enforce_iam`: requests are refused unless an IAM policy allows them, as AWS would.

    `ca`: TLS, with a certificate of it for `names`.
    """

    start_timeout = 60.0

    def __init__(
        self,
        *,
        enforce_iam: bool = False,
        account: str = ACCOUNT,
        ca: CertificateAuthority | None = None,
        names: Sequence[str] = LOCAL_NAMES,
    ) -> None:
        super().__init__("aws")
        self.port = free_port()
        self.url = f"{'https' if ca else 'http'}://{LOOPBACK}:{self.port}"
        self._ca = ca
        self._names = names
        self._enforce_iam = enforce_iam
        self._account = account

    def command(self) -> Sequence[str | Path]:
        words: list[str | Path] = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(self.port)]
        if self._ca:
            own = self._ca.issue(names=self._names)
            words += ["--ssl-cert", own.certificate_file, "--ssl-key", own.key_file]
        return words

    def environment(self) -> Mapping[str, str]:
        refused = {"INITIAL_NO_AUTH_ACTION_COUNT": "0"} if self._enforce_iam else {}
        return {"MOTO_ACCOUNT_ID": self._account, **refused}

    def ready(self) -> bool:
        trust = ssl.create_default_context(cafile=self._ca.ca_file) if self._ca else None
        with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=10, context=trust) as response:  # noqa: S310
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
        from botocore.config import Config

        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            verify=str(self._ca.ca_file) if self._ca else None,
            config=Config(read_timeout=300),
        )

    def keep_secret(self, name: str, content: str | bytes, *, region: str = REGION) -> None:
        """A secret of Secrets Manager, new or with new content: a request that is sent twice does no harm."""
        client = self.client("secretsmanager", region=region)
        given = {"SecretBinary" if isinstance(content, bytes) else "SecretString": content}
        try:
            client.create_secret(Name=name, **given)
        except client.exceptions.ResourceExistsException:
            client.put_secret_value(SecretId=name, **given)

    def user_keys(self, name: str, actions: Sequence[str]) -> dict[str, str]:
        """Variables with the keys of a new IAM user who may do ``actions`` ("sqs:*") and nothing else."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        if actions:
            statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def enforce(self) -> None:
        """From now on refuse what no IAM policy allows."""
        headers = {"Content-Type": "text/plain"}
        url = f"{self.url}/moto-api/reset-auth"
        request = urllib.request.Request(url, data=b"0", headers=headers, method="POST")  # noqa: S310
        with urllib.request.urlopen(request, timeout=60):  # noqa: S310
            pass
