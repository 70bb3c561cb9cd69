"""What /schema and /openapi.json tell of contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator  # noqa: TC003 - read at run time
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.security import HTTPBasic
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from livepeer.runner import LivePipeline, Pipeline, Settings, make_app
from livepeer.runner._schema.documents import complete, describe, openapi
from livepeer.runner._schema.signature import contracts_of
from livepeer.runner.endpoints import endpoint
from livepeer.runner.files import ContentType, File


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Word(BaseModel):
    text: str
    at: float = 0.0


class Open(BaseModel):
    model_config = ConfigDict(extra="ignore")
    text: str


class Documented(Pipeline):
    def predict(
        self,
        picture: Annotated[File, ContentType("image/png")],
        times: Annotated[int, Field(ge=1, description="How often", examples=[3])] = 1,
        size: Size = Size.SMALL,
        key: SecretStr | None = None,
        old: Annotated[str, Field(deprecated=True)] = "",
        words: list[Word] = [],  # noqa: B006
    ) -> Annotated[bytes, ContentType("image/png")]:
        """Make it larger."""
        return picture.read()

    @endpoint
    def list_words(self, text: str) -> Iterator[Word]:
        yield Word(text=text)

    @endpoint(path="/v1/open")
    async def take_open(self, body: Open) -> Word:
        return Word(text=body.text)

    @endpoint
    def nothing(self) -> None: ...


class Live(LivePipeline): ...


CONTRACTS = contracts_of(Documented())


def test_contracts_are_those_of_predict_and_of_endpoints():
    assert [(one.method, one.path, one.streams, one.blocking) for one in CONTRACTS] == [
        ("predict", "/predict", False, True),
        ("list_words", "/list-words", True, True),
        ("take_open", "/v1/open", False, False),
        ("nothing", "/nothing", False, True),
    ]


def test_an_override_is_marked_as_it_says():
    class Below(Documented):
        def nothing(self) -> None: ...

        @endpoint
        def more(self) -> None: ...

    assert [one.path for one in contracts_of(Below())] == [
        "/predict",
        "/list-words",
        "/v1/open",
        "/more",
    ]
    assert Below().nothing() is None  # type: ignore[func-returns-value]


def test_static_and_class_methods_may_be_marked():
    class Kinds(Pipeline):
        def predict(self) -> None: ...

        @endpoint
        @staticmethod
        def first(text: str) -> str:
            return text

        @classmethod
        @endpoint
        def second(cls, text: str) -> str:
            return text

        @property
        def third(self) -> str:
            raise AssertionError("nobody asks")

    contracts = contracts_of(Kinds())
    assert [one.path for one in contracts] == ["/predict", "/first", "/second"]
    assert all(one.parse(b'{"text":"a"}') == {"text": "a"} for one in contracts[1:])


def test_schema():
    told: Any = describe(CONTRACTS)
    assert json.loads(json.dumps(told)) == told
    predict = told["endpoints"]["/predict"]
    assert (predict["name"], predict["description"], predict["stream"]) == (
        "predict",
        "Make it larger.",
        False,
    )
    assert predict["request"]["content_types"] == ["application/json", "multipart/form-data"]
    assert predict["response"] == {"content_type": "image/png"}
    fields = told["$defs"]["DocumentedRequest"]["properties"]
    assert list(fields) == ["picture", "times", "size", "key", "old", "words"]
    assert fields["picture"]["contentEncoding"] == "base64"
    assert fields["picture"]["contentMediaType"] == "image/png"
    assert fields["times"] == {
        "default": 1,
        "description": "How often",
        "examples": [3],
        "minimum": 1,
        "title": "Times",
        "type": "integer",
    }
    assert fields["key"]["anyOf"][0]["writeOnly"] is True
    assert fields["old"]["deprecated"] is True
    assert told["$defs"]["Word"]["additionalProperties"] is False
    assert "additionalProperties" not in told["$defs"]["Open"]
    words = told["endpoints"]["/list-words"]
    assert words["stream"] is True
    assert words["response"] == {
        "content_type": "text/event-stream",
        "item": {"$ref": "#/$defs/Word"},
    }


def test_openapi():
    made: Any = openapi(CONTRACTS)
    post = made["paths"]["/predict"]["post"]
    content = post["requestBody"]["content"]
    assert post["requestBody"]["required"] is True
    # The first is what a page opens with, and only there is a button for a file.
    assert list(content) == ["multipart/form-data", "application/json"]
    assert content["application/json"]["schema"] == {
        "$ref": "#/components/schemas/DocumentedRequest"
    }
    form = content["multipart/form-data"]["schema"]
    assert form["properties"]["picture"]["format"] == "binary"
    assert "contentEncoding" not in form["properties"]["picture"]
    assert form["required"] == ["picture"]
    answer = post["responses"]["200"]["content"]["image/png"]["schema"]
    assert answer["format"] == "binary"
    assert {"400", "413", "422", "500", "503"} <= set(post["responses"])


def test_streams_say_what_their_items_are():
    def content(version: str) -> Any:
        made: Any = openapi(CONTRACTS, version)
        return made["paths"]["/list-words"]["post"]["responses"]["200"]["content"]

    events = content("3.2.0")["text/event-stream"]
    word = {"$ref": "#/components/schemas/Word"}
    item, error, end = (one["properties"] for one in events["itemSchema"]["anyOf"])
    assert item["data"]["contentSchema"] == word
    assert error["event"]["const"] == "error"
    assert end["data"]["const"] == "[DONE]"
    told = {"item": word, "itemSchema": events["itemSchema"]}
    assert events["x-livepeer-stream"] == told
    # Where it would not be allowed.
    assert content("3.1.0") == {"text/event-stream": {"x-livepeer-stream": told}}


def test_streams_name_their_items_in_words():
    class Streams(Pipeline):
        def predict(self) -> Iterator[Word]: ...  # type: ignore[empty-body]

        @endpoint
        def several(self) -> Iterator[list[Word] | str | None]: ...  # type: ignore[empty-body]

        @endpoint
        def anything(self):  # type: ignore[no-untyped-def]
            yield 1

    made: Any = openapi(contracts_of(Streams()))
    assert [item["post"]["responses"]["200"]["description"] for item in made["paths"].values()] == [
        "One event per item, whose `data` is JSON: `Word`; then `[DONE]`",
        "One event per item, whose `data` is JSON: a list of `Word` or `string` or `null`;"
        " then `[DONE]`",
        "One event per item, whose `data` is JSON: anything; then `[DONE]`",
    ]


def test_a_token_may_be_sent_wherever_work_is_done():
    class Routed(Documented):
        router = APIRouter()

    Routed.router.add_api_route("/about", lambda: "")
    own = [Depends(HTTPBasic())]
    Routed.router.add_api_route("/own", lambda: "", dependencies=own)
    document: Any = make_app(Routed(), Settings()).openapi()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    asked = {
        path: operation.get("security")
        for path, item in document["paths"].items()
        for operation in item.values()
    }
    perhaps = [{}, {"bearer": []}]
    assert {path for path, said in asked.items() if said == perhaps} == {
        "/predict",
        "/list-words",
        "/v1/open",
        "/nothing",
        "/about",
    }
    assert asked["/own"] == [{"HTTPBasic": []}]
    assert asked["/health"] is None
    live: Any = make_app(Live(), Settings()).openapi()
    assert live["paths"]["/stream/start"]["post"]["security"] == perhaps
    assert "security" not in live["paths"]["/health"]["get"]


def test_no_body_is_enough_where_nothing_is_required():
    made: Any = openapi(CONTRACTS)
    assert made["paths"]["/nothing"]["post"]["requestBody"]["required"] is False
    assert made["paths"]["/v1/open"]["post"]["requestBody"]["required"] is True


def test_the_rest_of_a_document_stays():
    app = FastAPI()

    @app.get("/models")
    def models() -> list[Word]:
        return []

    @app.post("/predict")
    def predict() -> None: ...

    document: Any = complete(app.openapi(), CONTRACTS)
    assert list(document["paths"]) == [
        "/predict",
        "/list-words",
        "/v1/open",
        "/nothing",
        "/models",
    ]
    assert document["paths"]["/predict"]["post"]["summary"] == "Call Documented.predict()"
    assert document["info"] == {"title": "FastAPI", "version": "0.1.0"}
    assert _missing(document) == set()


def _missing(document: Any) -> set[str]:
    """Names that are referred to and not there."""
    found = set[str]()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found.add(node["$ref"].rpartition("/")[2])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    return found - set(document["components"]["schemas"])
