"""payments: with a key, with a remote signer, and with less than it takes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from livepeer.client.testing import fake_signer
from livepeer.runner._local.network import LocalNetwork
from livepeer.runner._local.settings import LocalSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CALL = ("text-reversal", '{"text": "stressed"}')
PRICE = 10
KEY = "5c" * 32


def check_paid(out: str) -> int:
    """What was paid: a minute in advance, of which a little is used up."""
    answer, *told = out.splitlines()
    assert json.loads(answer) == {"text": "desserts", "parts": 8}
    (left,) = re.findall(r"left as credit: (\d+) wei", told[0])
    (paid,) = re.findall(r"paid: (\d+) wei", told[1])
    assert 60 * PRICE <= int(paid) <= 5000
    assert int(paid) - 30 * PRICE < int(left) < int(paid)
    return int(paid)


async def test_a_key_pays_within_its_limit(
    network: Callable, run: Callable, tmp_path: Path
) -> None:
    key, wrong = tmp_path / "key.txt", tmp_path / "wrong.txt"
    key.write_text(f"{KEY}\n")
    wrong.write_text(f"{KEY}{KEY}\n")
    local = LocalNetwork(charge=True)
    async with network("text_reversal", "TextReversal", local=local, capability_price=PRICE) as url:
        common = ("payments", "--orchestrator", url, "--max-spend")
        poor = await run(*common, "500", "--key-file", key, *CALL)
        rich = await run(*common, "5000", "--key-file", key, *CALL)
        bad = await run(*common, "5000", "--key-file", wrong, *CALL)
        none = await run(*common, "5000", "--key-file", tmp_path / "none.txt", *CALL)

    assert poor.out == "paid: 0 wei\n"
    assert "would exceed `max_spend`, 500" in poor.error
    assert (rich.status, rich.err) == (0, "")
    check_paid(rich.out)
    assert "private key" in bad.error
    assert KEY not in bad.error
    assert "none.txt: write the 64 hexadecimal digits of a private key into it" in none.error


async def test_a_remote_signer_pays(network: Callable, run: Callable) -> None:
    local = LocalNetwork(charge=True, settings=LocalSettings(signature="v1"))
    async with (
        network("text_reversal", "TextReversal", local=local, capability_price=PRICE) as url,
        fake_signer(flavour="byoc") as signer,
    ):
        ended = await run(
            *("payments", "--orchestrator", url, "--signer", signer.url, "--max-spend", "5000"),
            *CALL,
        )

    assert (ended.status, ended.err) == (0, "")
    (made,) = signer.payments
    # The client rounds what tickets are worth up, the signer down.
    assert check_paid(ended.out) - made.value in (0, 1)
