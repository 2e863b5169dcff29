"""What a person sees while `mehc check` waits for a server that does not answer."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import yaml

from testbed.installation import aws_values
from testbed.ports import black_hole

MEHC = Path(sys.executable).with_name("mehc")


def check(values: Path, stderr: int) -> subprocess.CompletedProcess[str]:
    words = ("check", "-f", values, "--only", "RedisReachable", "--timeout", "6s", "--inside")
    return subprocess.run([MEHC, *words], stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)


def test_a_terminal_shows_which_check_waits_for_which_server_and_a_file_does_not(tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    with black_hole() as (host, port):
        values.write_text(yaml.safe_dump(aws_values(cache_redis_aws_url=f"redis://{host}:{port}/0")))
        ours, theirs = pty.openpty()
        done = check(values, theirs)
        os.close(theirs)
        shown = os.read(ours, 1 << 16).decode()
        os.close(ours)
        assert done.returncode == 1
        assert f"waiting for RedisReachable ({host}:{port})" in shown
        assert shown.endswith("\r\x1b[K")
        with (tmp_path / "log").open("w") as log:
            check(values, log.fileno())
        assert not (tmp_path / "log").read_text()
