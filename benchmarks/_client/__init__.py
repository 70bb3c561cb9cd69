"""The parts of `benchmarks/client.py`: the subjects, the node that they call, and what that costs.

Each subject runs in a process of its own, in its own environment, and calls the same small node in
another process. So what a subject imports, `load` and `subjects`, imports nothing of this project
but what it calls with.
"""
