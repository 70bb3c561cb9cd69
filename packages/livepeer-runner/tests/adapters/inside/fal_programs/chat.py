# ruff: noqa: RUF013 - as authors of fal write it
"""Events of an async app, with bare parameters beside it."""

import asyncio
import json

import fal
from fal.sdk import HealthCheck
from fastapi import Header
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel


class ChatInput(BaseModel):
    prompt: str
    fail: bool = False


class Chat(fal.App):
    async def setup(self):
        await asyncio.sleep(0)
        self.words = ["héllo", "there"]

    async def teardown(self):
        await asyncio.sleep(0)
        self.words = []

    @fal.endpoint("/alive", health_check=HealthCheck())
    async def alive(self):
        return {"ok": bool(self.words)}

    @fal.endpoint("/stream")
    async def stream(self, input: ChatInput) -> StreamingResponse:
        async def events():
            yield ": comment\n\n"
            for word in self.words:
                text = f"data: {json.dumps({'output': word}, ensure_ascii=False)}\n\n".encode()
                for n in range(0, len(text), 5):
                    yield text[n : n + 5]
                await asyncio.sleep(0)
            if input.fail:
                raise ValueError("no more words")
            yield "data: plain\n\ndata: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    @fal.endpoint("/predict")
    async def predict(self, prompt: str, times: int = 2, x_user: str = Header("nobody")) -> dict:
        return {"text": prompt * times, "user": x_user}

    @fal.endpoint("/undeclared")
    def undeclared(self, input: ChatInput):
        def pieces():
            yield "data: 1\n\n"

        return StreamingResponse(pieces(), media_type="text/event-stream")

    @fal.endpoint("/speech")
    async def speech(self, text: str, background: str = None):
        return Response(f"{text} {background}".encode(), media_type="audio/wav")
