"""The smallest API: JSON in, JSON out."""

import litserve as ls


class SquareAPI(ls.LitAPI):
    def setup(self, device):
        self.model = lambda x: x**2
        self.where = device

    def decode_request(self, request):
        return request["input"]

    def predict(self, x):
        if x < 0:
            raise ls.server.HTTPException(status_code=406, detail="no roots here")
        return self.model(x)

    def encode_response(self, output):
        return {"output": output, "device": self.device}

    def health(self) -> bool:
        return self.where == "cpu"
