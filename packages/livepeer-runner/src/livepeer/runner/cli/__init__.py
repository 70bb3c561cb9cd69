"""Commands of `livepeer` that livepeer-runner brings."""
