"""The parts of `benchmarks/live_loop.py`: the loops under test, and the other side of ours."""
