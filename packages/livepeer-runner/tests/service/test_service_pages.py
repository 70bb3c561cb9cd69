"""`/docs` and `/redoc` show an API where no other host can be reached, and without a token."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import aiohttp
import pytest

from livepeer.runner import Pipeline
from livepeer.runner.testing import serve


class Echo(Pipeline):
    def predict(self, text: str) -> str:
        return text


@pytest.mark.parametrize(("page", "loads"), [("/docs", 3), ("/redoc", 2)])
async def test_a_page_loads_only_what_the_runner_has(page: str, loads: int):
    async with serve(Echo, auth_token="sesame") as server, aiohttp.ClientSession() as http:
        async with http.get(server.url + page) as response:
            assert response.status == 200
            text = await response.text()
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text
        found = re.findall(r'(?:src|href)="([^"]+)"', text)
        assert len(found) == loads
        for url in (*found, "openapi.json"):
            async with http.get(urljoin(server.url + page, url)) as response:
                assert response.status == 200, url
                assert len(await response.read()) > 1000
