"""Ask an orchestrator by gRPC what it offers and at what price.

    uv run livepeer dev examples/runner/hello_world
    uv run python examples/client/get_orchestrator_info.py --orchestrator http://127.0.0.1:8935
    uv run python examples/client/get_orchestrator_info.py --orchestrator http://127.0.0.1:8935 \\
        --caps byoc/hello-world --caps text-to-image/some-model,llm/some-model

Without --caps it tells the price of each capability, and with it that of what is asked for; a
capability of one's own is byoc/NAME.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from livepeer.client import CapabilityId, ClientError, LocalSigner, get_orchestrator_info

if TYPE_CHECKING:
    from livepeer.client import CapabilityPrice


async def main(options: argparse.Namespace) -> None:
    """Ask, by a fresh key: who asks must have one, and it costs nothing."""
    info = await get_orchestrator_info(
        options.orchestrator, signer=LocalSigner.ephemeral(), capabilities=options.caps
    )
    print(f"orchestrator {info.transcoder}")
    print(f"address      {info.address or 'none: it is off-chain'}")
    print(f"version      {info.version or 'not told'}")
    if options.caps and not info.prices:
        print(f"asked for    {', '.join(options.caps)}: {told(info.price)}")
    for price in info.prices:
        print(f"{pipeline(price.id)}/{price.model}: {told(price)}")
    for offer in info.offers:
        print(f"{pipeline(offer.id)}/{offer.model}: {offer.idle} idle, {offer.busy} busy")


def pipeline(number: int) -> str:
    """The name of a pipeline; its number, when it is newer than this program."""
    known = number in set(CapabilityId)
    return CapabilityId(number).pipeline if known else str(number)


def told(price: CapabilityPrice | None) -> str:
    """A price for a person."""
    if price is None:
        return "no price told"
    return f"{price.wei} wei for {price.units} {price.unit}(s)"


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="What an orchestrator says of itself.")
    parser.add_argument("--orchestrator", metavar="URL", required=True)
    parser.add_argument(
        "--caps",
        metavar="PIPELINE/MODEL",
        action="append",
        default=[],
        help="Ask for these; several times, or with commas between.",
    )
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except ClientError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
