"""The signature of `predict()` as a contract: what comes in, what goes out."""
