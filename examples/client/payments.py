"""Call a capability that has a price, spend no more than a limit, and print what it cost.

    uv run livepeer dev examples/runner/text_reversal --price 10
    uv run python examples/client/payments.py --orchestrator http://127.0.0.1:8935 \\
        --key-file key.txt --max-spend 100000 text-reversal '{"text": "stressed"}'

The key signs the tickets that pay; on the real network its address needs a deposit. With
`--signer URL` a remote signer does it, and no key is here. Any key will do for `livepeer dev`:

    python -c "import secrets; print(secrets.token_hex(32))" > key.txt
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from livepeer.client import Client, ClientError, LocalSigner, TicketPayments


async def main(options: argparse.Namespace) -> None:
    """One call. What is paid and not used up stays at the orchestrator, for the next one."""
    key = payments = None
    if options.key_file is not None:
        key = LocalSigner.from_file(options.key_file)
        payments = TicketPayments(key)
    async with Client(
        orchestrators=[options.orchestrator],
        # A remote signer pays by itself.
        signer=key or options.signer,
        payments=payments,
        max_spend=options.max_spend,
    ) as client:
        try:
            async with client.open_call(
                options.capability, options.payload, timeout_s=options.timeout
            ) as answer:
                print(json.dumps(await answer.json()))
                print(f"left as credit: {answer.balance} wei")
        finally:
            # Also of a call that failed: its payment may have arrived.
            print(f"paid: {client.spent} wei")


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description="A call that costs something.")
    parser.add_argument("--orchestrator", metavar="URL", required=True)
    payer = parser.add_mutually_exclusive_group(required=True)
    payer.add_argument("--key-file", type=Path, metavar="FILE", help="Holds 64 hex digits.")
    payer.add_argument("--signer", metavar="URL", help="A remote signer.")
    parser.add_argument("--max-spend", type=int, metavar="WEI", required=True)
    parser.add_argument("--timeout", type=int, default=60, help="Seconds; they are paid ahead.")
    parser.add_argument("capability")
    parser.add_argument("payload", type=json.loads, help="As JSON.")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except (ClientError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
