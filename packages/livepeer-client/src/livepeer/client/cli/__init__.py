"""Commands of `livepeer` that livepeer-client brings."""
