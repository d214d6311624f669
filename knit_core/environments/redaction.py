"""Removing credentials from texts that are written down or shown."""

from __future__ import annotations

import re

_USER_INFO = re.compile(r"(?<=://)[^/@\s]*@")
_TOKEN = re.compile(r"/t/[^/\s]+(?=/|$)")


def without_secrets(text: str) -> str:
    """The text without the credentials of the URLs in it: `user:password@` and conda's `/t/<token>`."""
    return _TOKEN.sub("/t/***", _USER_INFO.sub("", text))
