"""The testbed's fixtures serve every test under tests/."""

from hypothesis import settings

pytest_plugins = ["testbed.fixtures"]

# The same examples every time, and no deadline: a busy machine is no failing test.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("few", settings.get_profile("repeatable"), max_examples=10)
"""For a copy of tests that run in full beside it."""
settings.load_profile("repeatable")
