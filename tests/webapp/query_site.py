"""How tests send pictures and read results."""

import io
import re

from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def form(data: bytes, name: str = "x.png", kind: str = "image/png") -> dict[str, object]:
    """A form with one file, as a browser sends it."""
    head = (
        f'--edge\r\nContent-Disposition: form-data; name="picture"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'
    )
    return {"data": head.encode() + data + b"\r\n--edge--\r\n", "content_type": "multipart/form-data; boundary=edge"}


def shown(page: str, beginning: str = "") -> list[int]:
    """The appids of the banners on a page, in their order."""
    return [
        int(appid) for appid in re.findall(r'<h\d class="name"><a href="/render/(\d+)"', page[page.index(beginning) :])
    ]


def text(client, url: str, status: int = 200) -> str:
    response = client.get(url)
    assert response.status_code == status, response.get_data(as_text=True)[:500]
    return response.get_data(as_text=True)
