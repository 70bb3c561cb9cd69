"""A status of the author's own choice, as our server understands it."""

from __future__ import annotations


def with_status(status: int, detail: object) -> Exception:
    """An exception that is answered with a status; no status below 400 is one of an error."""
    from fastapi import HTTPException  # lazy: adapters are imported before anything is served

    return HTTPException(status if status >= 400 else 500, detail)
