"""Take the colour out of a live stream; the sound passes through untouched."""

from livepeer.runner import LivePipeline, serve
from livepeer.runner.frames import VideoFrame


class Grayscale(LivePipeline):
    """Grayscale video, in real time."""

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        """Set both chroma planes to their neutral value."""
        _, u, v = frame.planes
        u[:] = 128
        v[:] = 128
        return frame


if __name__ == "__main__":
    serve(Grayscale())
