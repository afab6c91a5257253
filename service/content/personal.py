"""Personal data that has a form: where it may be, and the sums that tell it from other numbers.

Texts are folded before (see ``folding``): digits are ASCII, dashes are hyphens, blanks are spaces.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Literal

from service.content.finder import Check, Finder, Verdict

PersonalKind = Literal["email", "phone", "credit_card", "iban", "ip_address", "us_ssn"]

# Beyond ASCII any character: a class of Unicode's letters is a thousand states, and this is counted.
_BEYOND = r"\x{80}-\x{10FFFF}"
_EMAIL = rf"[0-9A-Za-z._%+'{_BEYOND}-]{{1,64}}@[0-9A-Za-z.{_BEYOND}-]{{1,190}}\.[0-9A-Za-z{_BEYOND}-]{{2,24}}"
# With a country's code, with the trunk's zero, and as North America writes them.
_PHONE = (
    r"(?:\+|\b00)[1-9](?:[ ./()-]{0,2}\d){6,14}"
    r"|\b0[1-9](?:[ ./-]?\d){7,10}\b"
    r"|(?:\(\d{3}\) ?|\b\d{3}[.-])\d{3}[ .-]\d{4}\b"
)
_DATE = re.compile(r"\d\d[./-]\d\d[./-]\d{4}")
# ISO/IEC 7812: twelve to nineteen digits, of which banks give out those that begin with 2 to 6.
_CARD = r"[2-6](?:[ .-]{0,3}\d){12,18}"
_FEWEST_CARD_DIGITS = 13
_IBAN = r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}"
_IP = r"\b(?:\d{1,3}\.){3,4}\d{1,3}\b|\b[0-9A-F]{1,4}(?::[0-9A-F]{0,4}){2,7}"
_FEWEST_HEX_DIGITS = 4  # "d::" is the end of a name in C++, and "1::2" a slice in Python
_SSN = r"\b\d{3}[ -]\d{2}[ -]\d{4}\b"

# Characters of an IBAN by its country: SWIFT's IBAN registry.
_IBAN_COUNTRIES = {
    15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK",
    21: "CH CR HR LI LV", 22: "BG BH DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO EG GT HU LB NI PL SV",
    29: "BR PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
_IBAN_LENGTHS = {country: length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()}


def card_lengths(digits: str) -> list[int]:
    """The lengths of its beginnings whose check digit is right (ISO/IEC 7812-1, annex B), the shortest first.

    Counted from the last, every other digit is doubled, and its own digits added up. So two sums go along, that with
    the digits at even places doubled and that with those at odd ones; the length says which of them counts.
    """
    sums, passing = [0, 0], []
    for place, digit in enumerate(map(int, digits)):
        sums[place % 2] += (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[digit]
        sums[1 - place % 2] += digit
        if sums[1 - place % 2] % 10 == 0:
            passing.append(place + 1)
    return passing


def mod_97(iban: str) -> bool:
    """Whether the check digits of an IBAN of capitals and digits are right (ISO 13616, by ISO 7064)."""
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


def _is_phone(text: str, start: int, end: int) -> Verdict:
    if _stands_in(str.isdigit, text, start, end) or _DATE.match(text, start):
        return _no(start)
    return Verdict(True, end, end)


def _is_card(text: str, start: int, end: int) -> Verdict:
    """The longest number that begins there and passes; other digits may follow a separator.

    One of ten numbers passes by chance, and such a one may overlap a card: so the next is looked for inside it.
    """
    if text[start - 1 : start].isdigit():
        return _no(start)
    places = [i for i in range(start, end) if text[i].isdigit()]
    for count in reversed(card_lengths("".join(text[i] for i in places))):
        stop = places[count - 1] + 1
        if count >= _FEWEST_CARD_DIGITS and not text[stop : stop + 1].isdigit():
            return Verdict(True, stop, start + 1)
    return _no(start)


def _is_iban(text: str, start: int, end: int) -> Verdict:
    places = [i for i in range(start, end) if text[i].isalnum()]
    length = _IBAN_LENGTHS.get(text[start : start + 2].upper(), end)
    stop = places[length - 1] + 1 if length <= len(places) else end
    given = "".join(text[i] for i in places[:length]).upper()
    if len(given) != length or text[stop : stop + 1].isalnum() or not mod_97(given):
        return _no(start)
    return Verdict(True, stop, stop)


def _is_ip(text: str, start: int, end: int) -> Verdict:
    """Of an address, which is none where a version or a name goes on."""
    given = text[start:end].rstrip(":") if not text.startswith("::", end - 2) else text[start:end]
    stop = start + len(given)
    is_long = ":" not in given or sum(map(str.isalnum, given)) >= _FEWEST_HEX_DIGITS
    if is_long and text[start - 1 : start] != "." and not _stands_in(_goes_on, text, start, stop):
        try:
            ipaddress.ip_address(given)
        except ValueError:
            return _no(start)
        return Verdict(True, stop, stop)
    return _no(start)


def _is_ssn(text: str, start: int, end: int) -> Verdict:
    """No area 000, 666 or 9xx, no group 00, no serial 0000: the Social Security Administration gives out none."""
    area, group, serial = text[start : start + 3], text[start + 4 : start + 6], text[end - 4 : end]
    is_given_out = area not in {"000", "666"} and area[0] != "9" and group != "00" and serial != "0000"
    return Verdict(True, end, end) if is_given_out else _no(start)


def _no(start: int) -> Verdict:
    return Verdict(False, start, start + 1)


def _goes_on(character: str) -> bool:
    return character.isalnum() or character == "_"


def _stands_in(is_of_it: Callable[[str], bool], text: str, start: int, end: int) -> bool:
    """Whether it goes on at either side."""
    return any(map(is_of_it, text[max(0, start - 1) : start] + text[end : end + 1]))


_KINDS: dict[PersonalKind, tuple[str, Check | None]] = {
    "email": (_EMAIL, None),
    "phone": (_PHONE, _is_phone),
    "credit_card": (_CARD, _is_card),
    "iban": (_IBAN, _is_iban),
    "ip_address": (_IP, _is_ip),
    "us_ssn": (_SSN, _is_ssn),
}


def personal(kind: PersonalKind) -> Finder:
    """Finds one kind of data."""
    return Finder.of(*_KINDS[kind], case_matters=False)
