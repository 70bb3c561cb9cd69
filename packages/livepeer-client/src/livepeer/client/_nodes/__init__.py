"""How jobs reach an orchestrator, or a gateway."""
