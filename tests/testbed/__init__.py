"""Real components on free loopback ports, for the tests, the demo and the benchmark.

One module per component. `tools` and `setup` use the standard library only: they run before anything is installed.
"""
