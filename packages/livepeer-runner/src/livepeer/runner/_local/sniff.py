"""The content type that Go's server gives an answer whose handler named none.

go-livepeer's gateway drops the orchestrator's content type, so that JSON arrives as plain text and
a picture as what it is. The signatures are those of the WHATWG MIME Sniffing standard that the
answers of a runner can have.
"""

from __future__ import annotations

from typing import Final

TEXT: Final = "text/plain; charset=utf-8"
_HTML = (b"<!doctype html", b"<html", b"<head", b"<script", b"<body", b"<title", b"<div", b"<!--")
_MAGIC = (
    (b"\x89PNG\x0d\x0a\x1a\x0a", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\x00", "application/ogg"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
)
_RIFF = {b"WEBPVP": "image/webp", b"WAVE": "audio/wave", b"AVI ": "video/avi"}
_BINARY = frozenset([*range(9), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)])


def content_type(body: bytes) -> str:
    """Guess the type from the first 512 bytes."""
    head = body[:512]
    text = head.lstrip(b"\t\n\x0c\r ")
    if text.lower().startswith(_HTML):
        return "text/html; charset=utf-8"
    if text.startswith(b"<?xml"):
        return "text/xml; charset=utf-8"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF":
        for magic, name in _RIFF.items():
            if head[8:].startswith(magic):
                return name
    if head[4:8] == b"ftyp" and b"mp4" in head[8:24]:
        return "video/mp4"
    return "application/octet-stream" if _BINARY.intersection(head) else TEXT
