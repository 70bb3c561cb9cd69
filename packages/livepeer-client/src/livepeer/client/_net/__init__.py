"""HTTP and gRPC, and whose certificate is trusted."""
