"""Personal links: how a token is made and recognised.

A token is derived, never stored: HMAC-SHA256 over the invitation's nonce, keyed with the installation's secret.
The mail can thus be composed at the moment it goes out, and a copy of the database opens no survey.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

from pilot import config


def new_nonce() -> str:
    """128 random bits for one invitation; another nonce makes another link and ends the old one."""
    return secrets.token_hex(16)


def token_of(nonce: str) -> str:
    """The token of the invitation with this nonce: 256 bits as 43 characters of base64url."""
    key = config.current().secret_key.encode()
    mac = hmac.digest(key, f"survey-link|{nonce}".encode(), "sha256")
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def hash_of(token: str) -> str:
    """What is stored of a token, and looked up: its SHA-256. Any text can be asked for, in the same time."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def address_of(token: str) -> str:
    """The personal link, on the configured site whatever host a request named."""
    return f"{config.current().base_url}/s/{token}"
