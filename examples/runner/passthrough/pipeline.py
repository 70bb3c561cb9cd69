"""Give a live stream back as it came."""

from livepeer.runner import LivePipeline, serve


class Passthrough(LivePipeline):
    """A relay: no hook for frames, so nothing is decoded and each segment goes out as it came."""


if __name__ == "__main__":
    serve(Passthrough)
