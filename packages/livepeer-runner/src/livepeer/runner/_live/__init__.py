"""Live sessions: transport and codec on one side, the author's hooks on the other."""
