"""The embedded local network: an orchestrator and a gateway for development and tests."""
