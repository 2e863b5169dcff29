"""The input and output of checks: one file per dependency, facts out, no judgement."""
