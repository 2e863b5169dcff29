"""The testbed's fixtures serve every test under tests/."""

pytest_plugins = ["testbed.fixtures"]
