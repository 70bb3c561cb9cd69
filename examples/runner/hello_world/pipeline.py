"""The smallest complete capability: a name comes in, a greeting goes out."""

from livepeer.runner import Pipeline, serve


class HelloWorld(Pipeline):
    """Greets whoever asks."""

    def predict(self, name: str = "World") -> str:
        """Say hello to `name`."""
        return f"Hello, {name}!"


if __name__ == "__main__":
    serve(HelloWorld())
