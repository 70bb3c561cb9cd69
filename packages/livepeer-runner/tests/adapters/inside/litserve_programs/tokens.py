"""Tokens as they come: sync, async, and from batches of one."""

import asyncio

import litserve as ls


class Tokens(ls.LitAPI):
    closed = 0

    def setup(self, device):
        self.words = ["one", "two", "three"]

    def decode_request(self, request):
        return request["prompt"], request.get("count", 3)

    def predict(self, x):
        prompt, count = x
        try:
            for n in range(count):
                yield f"{prompt} {self.words[n]}"
        finally:
            type(self).closed += 1

    def encode_response(self, output):
        for token in output:
            yield {"token": token}


class AsyncTokens(ls.LitAPI):
    def setup(self, device):
        self.words = ["one", "two", "three"]

    async def decode_request(self, request):
        return request["prompt"]

    async def predict(self, prompt):
        for word in self.words:
            await asyncio.sleep(0)
            yield f"{prompt} {word}"

    async def encode_response(self, output):
        async for token in output:
            yield {"token": token}


class AsyncUpper(ls.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request: dict):
        return request["text"]

    async def predict(self, text):
        await asyncio.sleep(0)
        return text.upper()

    async def health(self):
        await asyncio.sleep(0)
        return True


class Batched(ls.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        return request["input"]

    def predict(self, xs):
        assert isinstance(xs, list)
        return [x + 1 for x in xs]

    def encode_response(self, output):
        return {"output": output}


class BatchedTokens(ls.LitAPI):
    def setup(self, device):
        pass

    def batch(self, inputs, context):
        assert len(inputs) == len(context)
        return inputs

    def predict(self, xs):
        for n in range(xs[0]["count"]):
            yield [n] * len(xs)

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        for numbers in output:
            yield [{"n": n} for n in numbers]
