"""Links that a mail program or a hurried hand has spoilt are answered in the customer's words, never by staff's pages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

Link = Callable[[str], str]


@pytest.mark.parametrize("junk", ["/", "/x", "/thanks/", "/thanks/more", "/%20", "/a/b/c"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_with_something_hung_on_to_it_is_a_wrong_link(
    sqlite_app: Flask, link: Link, client: FlaskClient, junk: str, method: str
) -> None:
    answer = client.open(link("C0") + junk, method=method)
    wrong = client.open("/s/wrong", method=method)
    assert (answer.status_code, wrong.status_code) == (404, 404)
    assert "This link does not work" in answer.text
    assert dict(answer.headers) | {"Content-Length": ""} == dict(wrong.headers) | {"Content-Length": ""}


@pytest.mark.parametrize("address", ["/s/", "/s//", "/s/x/"])
def test_a_link_that_was_cut_off_is_a_wrong_link_and_speaks_the_customers_language(
    sqlite_app: Flask, client: FlaskClient, address: str
) -> None:
    answer = client.get(address, headers={"Accept-Language": "pl"}, follow_redirects=True)
    assert answer.status_code == 404
    assert "Ten link nie działa" in answer.text
    assert 'href="/s/' in answer.text
