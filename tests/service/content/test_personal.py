"""Personal data and links to other hosts: what is found, what is not, and what hides it in vain."""

from collections.abc import Callable
from typing import Any

import pytest

ScreenOf = Callable[[str], Any]

FOUND = {
    "email": ["jane.doe+x@mail.acme.example", "JANE@ACME.EXAMPLE", "j\u200bane@acme.example", "jörg@müller.example"],
    "phone": [
        "+49 30 1234567", "+1 (555) 123-4567", "(555) 123-4567", "555-123-4567",
        "0049301234567", "06 12 34 56 78",
    ],
    "credit_card": [
        "4111 1111 1111 1111", "4111-1111-1111-1111", "5555555555554444", "378282246310005", "6011 0009 9013 9424",
        "\uff14\uff11\uff11\uff11 1111 1111 1111", "4\u200b111111111111111", "4111\u20131111\u20131111\u20131111",
        "\u0664\u0661\u0661\u06611111 1111 1111", "4111\u00a01111\u00a01111\u00a01111", "4111  1111..1111 - 1111",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 00", "de89370400440532013000", "NO93 8601 1117 947",
        "GB29-NWBK-6016-1331-9268-19",
    ],
    "ip_address": ["10.0.0.1", "255.255.255.255", "2001:db8::8a2e:370:7334", "fe80::1", "2001:DB8:0:0:8:800:200C:417A"],
    "us_ssn": ["078-05-1120", "219 09 9999", "078\u201105\u20111120"],
}  # fmt: skip
OTHER = {
    "email": ["jane at acme", "@acme.example", "a @ b"],
    "phone": ["2026-11-23", "01.02.2026 12:30", "100 000 000", "3.14159265", "12345678"],
    "credit_card": ["4111 1111 1111 1112", "41111111111111111111111", "1234567890123456", "4111 1111"],
    "iban": ["DE89 3704 0044 0532 0130 01", "FR12 is a road", "XX89370400440532013000", "DE893704004405320130001"],
    "ip_address": ["1.2.3", "1.2.3.4.5", "256.1.1.1", "12:30:45", "std::vector", "x[1::2]", "00:1b:44:11:3a:b7"],
    "us_ssn": ["000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "123456789", "1123-45-6789"],
}
LINKS = [
    "https://evil.example/?q=secret", "HTTP://EVIL.EXAMPLE", "//evil.example/x", "www.evil.example/a",
    "https:/evil.example",
    "https://docs.acme.example@evil.example/", "https://evil.example#docs.acme.example", "ftp://evil.example/x",
    "https://docs.acme.example.evil.example/", "https://3232235777/", "//3232235777/x", "https://acme.example/",
    "https://e\u200bvil.example/", "\uff48ttps://evil.example", "https:\\\\evil.example",
]  # fmt: skip
TARGETS = [
    *LINKS, "&#104;ttps://evil.example", "https\\://evil.example", "/\\evil.example", "javascript:alert(1)",
    "data:image/png;base64,AA", "https:evil.example", "<https://evil.example/a>", "///evil.example/?q=s",
    "////evil.example/?q=s", "<///evil.example/>", "///\u200b/evil.example", "//docs.acme.example@evil.example",
    f"{' ' * 5}&#104;ttps:&#47;&#47;evil.example", f"{' ' * 64}///evil.example", f"{' ' * 65}///evil.example",
    f"{' ' * 400}https://evil.example", "\r&#104;ttps:&#47;&#47;evil.example", "\r\n\t///evil.example",
    "\v///evil.example", "<\n///evil.example>", "<\t&#104;ttps://evil.example>",
]  # fmt: skip
HERE = [
    "https://docs.acme.example/x?a=1&b=2",
    "http://a.img.acme.example",
    "/docs/x.md",
    "#part",
    "x.md",
    "../x",
    "<x.md>",
    "///docs.acme.example/x",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in texts])
def test_what_is_found(screen_of: ScreenOf, one_rule: Callable[..., str], kind: str, text: str) -> None:
    screen = screen_of(one_rule("mask", f'pii = "{kind}"'))
    for before, after in (("", ""), ("It is ", " you know."), ("(", "), or"), ("für\u00a0", ".")):
        shown, _ = screen.written(*f"{before}{text}{after}")
        assert shown == f"{before}[rule]{after}"


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in OTHER.items() for text in texts])
def test_what_is_something_else(screen_of: ScreenOf, one_rule: Callable[..., str], kind: str, text: str) -> None:
    screen = screen_of(one_rule("mask", f'pii = "{kind}"'))
    assert screen.written(f"It is {text}, you know.") == (f"It is {text}, you know.", False)


def test_a_card_among_other_numbers(screen_of: ScreenOf, one_rule: Callable[..., str]) -> None:
    screen = screen_of(one_rule("mask", 'pii = "credit_card"'))
    assert screen.written(*"Order 7234 4111 1111 1111 1111 1234 ok")[0] == "Order 7234 [rule] 1234 ok"
    # The first sixteen digits pass too.
    assert screen.written(*"Order 2234 4111 1111 1111 1111 1234 ok")[0] == "Order [rule] 1234 ok"


@pytest.fixture(scope="module")
def links(screen_of: ScreenOf, one_rule: Callable[..., str]) -> Any:  # noqa: ANN401
    return screen_of(one_rule("mask", 'links_outside = ["docs.acme.example", "*.img.acme.example"]'))


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_that_leads_away(links: Any, target: str) -> None:  # noqa: ANN401
    for text in (f"![a]({target})", f"[a]({target} 'title')", f"[a](\n{target})", f"![a][r]\n\n[r]: {target}\n"):
        shown, _ = links.written(*text)
        assert "[rule]" in shown
        assert "](" not in shown
        assert "]:" not in shown


@pytest.mark.parametrize(
    "link",
    [
        "![x](https://evil.example/?q=s)", "[a word](https://evil.example/ 'title')", "[](///evil.example)",
        "![x]( https://evil.example/ (title) )", '[a](<https://evil.example/> "it")', "[r]: https://evil.example/",
    ],
)  # fmt: skip
def test_what_is_masked_of_a_link_leaves_a_sentence(links: Any, link: str) -> None:  # noqa: ANN401
    assert links.written(*f"See {link} and (so) on [1].")[0] == "See [rule] and (so) on [1]."


def test_what_stands_in_a_link_that_stays(links: Any) -> None:  # noqa: ANN401
    for text in ("[at {}](/docs)", "![{} x](/docs)", "[a](/docs '{}')", "[[a](/docs) {}](/docs)"):
        assert links.written(*text.format("https://evil.example/a"))[0] == text.format("[rule]")
    for text in ("[![a]({}x.png)](/docs)", "[![a](/x.png)]({})", f"[{'a' * 200}]({{}})"):
        shown = links.written(*text.format("https://evil.example/"))[0]
        assert "[rule]" in shown
        assert "evil" not in shown


@pytest.mark.parametrize("link", LINKS)
def test_an_address_that_leads_away(links: Any, link: str) -> None:  # noqa: ANN401
    for text in (f"See {link} now.", f"<{link}>", f'<img src="{link}">', f"{link}"):
        assert links.written(*text)[0] == text.replace(link, "[rule]")


@pytest.mark.parametrize("target", HERE)
def test_a_link_that_stays(links: Any, target: str) -> None:  # noqa: ANN401
    for text in (
        f"![a]({target})",
        f"[a]({target} 'title') and",
        f"![a][r]\n\n[r]: {target}\n",
        f"See {target} now. [1]",
    ):
        assert links.written(*text) == (text, False)
