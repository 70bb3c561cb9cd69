"""The parts of `benchmarks/live.py`.

Four kinds of processes: a trickle server, a meter that sends a stream and times what comes back,
the subject that is measured, and the script itself, which reads the subject's CPU time and memory.
"""
