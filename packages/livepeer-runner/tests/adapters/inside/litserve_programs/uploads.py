"""Files as parts of a form, typed and not, and a sound back."""

import litserve as ls
from fastapi import UploadFile
from fastapi.responses import Response
from PIL import Image


class Recognize(ls.LitAPI):
    def setup(self, device):
        self.classes = ["small", "large"]

    def decode_request(self, request: UploadFile):
        with Image.open(request.file) as picture:
            return picture.convert("RGB").size

    def predict(self, size):
        return self.classes[max(size) > 4]

    def encode_response(self, output):
        return {"class": output}


class Speak(ls.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        voice = request["voice"].file.read().decode()
        return f"{voice} {request['voice'].filename}: {request['text']}"

    def predict(self, text):
        return text.encode()

    def encode_response(self, output):
        return Response(content=output, media_type="audio/wav")
