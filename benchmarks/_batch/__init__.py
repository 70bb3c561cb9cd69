"""The parts of `benchmarks/batch.py`: the subjects, the callers, and what their laps come to.

Each subject serves one work in processes of its own, in its own environment, and is asked over HTTP
like any other server. So what a subject imports, `work`, `models` and `subjects`, imports nothing
of this project but what it serves with, and nothing of the benchmark's own.
"""
