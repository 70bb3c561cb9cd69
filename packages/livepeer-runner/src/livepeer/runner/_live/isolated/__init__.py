"""The isolated stage: hooks in a model process of its own, frames through shared memory."""
