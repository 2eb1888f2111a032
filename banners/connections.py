"""Connections to servers of strangers: through the environment's proxies, and never from https to http."""

import re
from functools import cache
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout, make_headers, parse_url

from banners.errors import BadInput, one_line

USER_AGENT = "steam-clip/0.1 (banner similarity; one polite client)"
REDIRECTS = 3  # that are followed


def connections_for(url: str, connections: int, read: float) -> urllib3.PoolManager:
    """Connections to the server of `url`, at most so many at once, through a proxy if the environment names one.
    `read`: seconds without a byte before it gives up. Raises `BadInput` for an invalid proxy address."""
    parts = urlsplit(url)
    proxies = {} if proxy_bypass(parts.netloc.rpartition("@")[2]) else getproxies()
    return _pool(proxies.get(parts.scheme) or proxies.get("all", ""), connections, read)


def redirect_target(response: urllib3.BaseHTTPResponse, url: str) -> str:
    """The address that the answer of `url` redirects to, "" for none. Raises `ValueError` unless it is http or https,
    and for https to http."""
    location = response.get_redirect_location()
    if not location:
        return ""
    following = urljoin(url, location)
    if not following.startswith(("https://",) if url.startswith("https://") else ("http://", "https://")):
        raise ValueError("it redirects away from the web, or from https to http")
    return following


def reason(error: Exception) -> str:
    """Why a connection failed, in one line."""
    inner = getattr(error, "reason", None) or error
    text = re.sub(r"^\w+\(host=[^)]*\): ", "", one_line(inner).partition("?")[0])  # the address is named anyway
    if "CERTIFICATE_VERIFY_FAILED" in text:
        text = "its certificate is not trusted here; behind a decrypting proxy, name the proxy's in SSL_CERT_FILE"
    return text[:200]


def shown(url: str) -> str:
    """`url` as it may be printed: without its query, and short."""
    return url.partition("?")[0][:120]


@cache
def _pool(proxy: str, connections: int, read: float) -> urllib3.PoolManager:
    """Connections, through a proxy if there is one. Raises `BadInput` for an invalid address."""
    timeout = Timeout(connect=read, read=read)
    if not proxy:
        return urllib3.PoolManager(maxsize=connections, timeout=timeout)
    try:
        address = parse_url(proxy if "://" in proxy else f"http://{proxy}")
        headers = make_headers(proxy_basic_auth=unquote(address.auth)) if address.auth else None
        return urllib3.ProxyManager(
            address._replace(auth=None).url, proxy_headers=headers, maxsize=connections, timeout=timeout
        )
    except (HTTPError, ValueError):  # its text may hold a password
        raise BadInput("the proxy that the environment names is no http:// or https:// address") from None
