"""LitServe, one worker and one API server: `python -m _batch.subjects.litserve WORK ANY PORT`.

A worker takes one call after the other; of async code as many as there are. So there is no
concurrency to set. Annotations are not postponed here, for they are read as they stand.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator

import litserve
from fastapi import Request, Response

from _batch.models import Data, Nap, Prompt, Said, Token, Words, base64_of
from _batch.work import PAUSE_S, atokens, negative, repeated, tokens


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        del device


class Sync(Api):
    def decode_request(self, request: Words) -> Words:
        return request

    def predict(self, body: Words) -> Said:
        return Said(text=repeated(body.text, body.times))

    def encode_response(self, output: Said) -> Said:
        return output


class Async(Api):
    async def decode_request(self, request: Words) -> Words:
        return request

    async def predict(self, body: Words) -> Said:
        return Said(text=repeated(body.text, body.times))

    async def encode_response(self, output: Said) -> Said:
        return output


class Base64(Api):
    def decode_request(self, request: Data) -> bytes:
        return request.data

    def predict(self, data: bytes) -> bytes:
        return data

    def encode_response(self, output: bytes) -> Data:
        return base64_of(output)


class Image(Base64):
    def predict(self, data: bytes) -> bytes:
        return negative(data)


class Binary(Api):
    # Not a file by its type: the service cannot hand that over to its worker.
    def decode_request(self, request: Request) -> bytes:
        data: bytes = request["data"].file.read()
        return data

    def predict(self, data: bytes) -> bytes:
        return data

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="application/octet-stream")


class Items(Api):
    pause_s = 0.0

    def decode_request(self, request: Prompt) -> Prompt:
        return request

    def predict(self, body: Prompt) -> Iterator[Token]:
        for text in tokens(body.count, self.pause_s):
            yield Token(text=text)

    # Without what it returns, for the service would make a model of that.
    def encode_response(self, output: Iterator[Token]):  # type: ignore[no-untyped-def]
        for item in output:
            yield f"data: {item.model_dump_json()}\n\n"


class Paced(Items):
    pause_s = PAUSE_S


class AItems(Api):
    pause_s = 0.0

    async def decode_request(self, request: Prompt) -> Prompt:
        return request

    async def predict(self, body: Prompt) -> AsyncIterator[Token]:
        async for text in atokens(body.count, self.pause_s):
            yield Token(text=text)

    # As above.
    async def encode_response(self, output: AsyncIterator[Token]):  # type: ignore[no-untyped-def]
        async for item in output:
            yield f"data: {item.model_dump_json()}\n\n"


class APaced(AItems):
    pause_s = PAUSE_S


class Rest(Api):
    async def decode_request(self, request: Nap) -> Nap:
        return request

    async def predict(self, body: Nap) -> Said:
        await asyncio.sleep(body.seconds)
        return Said(text="rested")

    async def encode_response(self, output: Said) -> Said:
        return output


WORKS: dict[str, type[Api]] = {
    "sync": Sync,
    "async": Async,
    "image": Image,
    "base64": Base64,
    "binary": Binary,
    "items": Items,
    "aitems": AItems,
    "paced": Paced,
    "apaced": APaced,
    "nap": Rest,
}


def main(work: str, port: int) -> None:
    api = WORKS[work](stream="items" in work or "paced" in work, enable_async=work in ASYNC)
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=1, timeout=False, fast_queue=FAST
    )
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


ASYNC = ("async", "aitems", "apaced", "nap")
FAST = False

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[3]))
