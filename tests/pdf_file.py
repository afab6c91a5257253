"""Small PDFs, written by hand."""

import io
from collections.abc import Sequence


def pdf(pages: Sequence[str], title: str = "", more: Sequence[str] = ()) -> bytes:
    """A PDF with these lines on its pages, a title, and more objects."""
    kids = " ".join(f"{2 * number + 5} 0 R" for number in range(len(pages)))
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
        f"<</Title({title})>>" if title else "<<>>",
    ]
    for number, text in enumerate(pages):
        lines = "".join(f"({line}) Tj T* " for line in text.split("\n"))
        content = f"BT /F 12 Tf 14 TL 50 700 Td {lines}ET"
        objects += [
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents {2 * number + 6} 0 R"
            "/Resources<</Font<</F 3 0 R>>>>>>",
            f"<</Length {len(content)}>>stream\n{content}\nendstream",
        ]
    return assembled([*(each.encode() for each in objects), *(each.encode() for each in more)])


def assembled(objects: Sequence[bytes], trailer: bytes = b"/Root 1 0 R/Info 4 0 R") -> bytes:
    """A PDF of numbered objects with their table."""
    file = io.BytesIO(b"%PDF-1.7\n")
    file.seek(0, io.SEEK_END)
    offsets = []
    for number, each in enumerate(objects, start=1):
        offsets.append(file.tell())
        file.write(b"%d 0 obj\n%b\nendobj\n" % (number, each))
    table = file.tell()
    file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    file.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    file.write(b"trailer<</Size %d%b>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, table))
    return file.getvalue()
