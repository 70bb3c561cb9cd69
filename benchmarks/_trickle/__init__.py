"""The parts of `benchmarks/trickle.py`: the clients, the servers, and who runs them.

Each role runs in a process of its own (`python -m _trickle.role`), those of a peer in the peer's
environment. So the modules that a role imports, `load`, `progress` and `clients`, import
nothing but the standard library and the one client that they drive.
"""
