"""Text in as parameters, the same text backwards out as data: a live stream without media."""

from pydantic import Field

from livepeer.runner import BaseParams, LivePipeline, serve


class ReversalParams(BaseParams):
    """What a caller sends while the stream runs, as often as it likes."""

    number: int = Field(0, ge=0, description="The caller's own; it comes back with the text.")
    text: str = Field("", max_length=5000, description="What to turn around.")


class LiveTextReversal(LivePipeline):
    """Turns texts around for as long as the stream runs."""

    Params = ReversalParams

    def on_params_update(self, params: ReversalParams) -> None:
        """Answer each update with a line of data."""
        self.emit_data({"number": params.number, "text": params.text[::-1]})


if __name__ == "__main__":
    serve(LiveTextReversal)
