"""Reports as data for programs: the published form of ``-o json`` and ``-o yaml``, one file per kind.

Every document has ``apiVersion`` and ``kind``; fields are camelCase, counts are numbers, durations seconds. Their
schema is generated from these models (``docs/schema/``), so what is written is valid by construction.
"""
