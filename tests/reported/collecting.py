"""Prints, of the test files that it is given, what each test is made of: its source, and what it is given."""

import inspect
import json
import sys

import pytest


class Texts:
    """A plugin of pytest that keeps the text of each test by its name."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            assert isinstance(item, pytest.Function)
            given = item.callspec.params if hasattr(item, "callspec") else {}
            self.texts[item.nodeid] = f"{inspect.getsource(item.function)}\n{given!r}"


def main(files: list[str]) -> int:
    found = Texts()
    # What pytest prints goes elsewhere: standard output is the answer.
    out, sys.stdout = sys.stdout, sys.stderr
    code = pytest.main(["--collect-only", "--quiet", "-p", "no:cacheprovider", *files], plugins=[found])
    json.dump(found.texts, out)
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
