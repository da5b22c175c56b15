"""URLs are read strictly, and no address but those of the public Internet is connected to."""

from __future__ import annotations

import ipaddress
import threading
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clients.guard import Unresolved, callback_allowed, check_addresses, resolve, why_forbidden
from pipeline.domain.errors import ForbiddenURL
from pipeline.domain.hosts import Target, read_allowed, read_url

# addresses that public guards against request forgery test themselves with, class by class
FORBIDDEN = {
    "loopback": ["127.0.0.1", "127.0.0.2", "127.255.255.255", "127.0.1.1", "::1"],
    "this network": ["0.0.0.0", "0.0.0.1", "0.255.255.255"],
    "private": ["10.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.0", "172.16.0.1", "172.20.10.1",
                "172.31.255.255", "192.168.0.0", "192.168.1.1", "192.168.255.255", "fc00::1", "fd00::1",
                "fd12:3456:789a:1::1", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fd00:ec2::254",
                "fd20:ce::254", "fd00:42::42"],
    "link-local": ["169.254.0.0", "169.254.169.254", "169.254.170.2", "169.254.42.42", "169.254.255.255",
                   "fe80::1", "fe80::1%eth0", "febf::1", "fe80::a9fe:a9fe"],
    "carrier-grade NAT": ["100.64.0.0", "100.64.0.1", "100.100.100.200", "100.127.255.255"],
    "cloud metadata": ["168.63.129.16"],
    "reserved": ["192.0.0.1", "192.0.0.192", "192.31.196.1", "192.52.193.1", "192.175.48.1", "240.0.0.1",
                 "250.1.2.3", "255.255.255.255", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff::1",
                 "2620:4f:8000::1", "3ffe::1", "5f00::1", "4000::1", "8000::1", "1000::1", "e000::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.255", "2001:db8::1", "3fff::1", "3fff:fff::1"],
    "benchmarking": ["198.18.0.1", "198.19.255.255"],
    "6to4 relay": ["192.88.99.1"],
    "multicast": ["224.0.0.1", "224.0.0.251", "239.255.255.250", "ff02::1", "ff0e::1", "ff05::1:3"],
    "unspecified": ["::"],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::ffff:8.8.8.8"],
    "IPv4-translated": ["::ffff:0:127.0.0.1", "::ffff:0:7f00:1"],
    "IPv4-compatible": ["::127.0.0.1", "::7f00:1", "::a9fe:a9fe", "::2"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::8.8.8.8", "64:ff9b:1::1",
              "64:ff9b:1:fffe::a00:1"],
    "discard-only": ["100::1"],
    "6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::"],
    "Teredo": ["2001::1", "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "site-local": ["fec0::1", "feff::1"],
    "unreadable": ["", "example.com", "1.2.3", "0x7f000001"],
}  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.1", "168.63.129.15", "169.253.255.255", "169.255.0.0",
    "172.15.255.255", "172.32.0.0", "185.71.76.1", "192.0.1.0", "192.167.255.255", "192.169.0.0",
    "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1", "2001:4860:4860::8888",
    "2003::1", "2606:4700:4700::1111", "2a00:1450:4001:800::200e", "2a02:6b8::1",
]  # fmt: skip


@pytest.mark.parametrize(("why", "address"), [(why, a) for why, many in FORBIDDEN.items() for a in many])
def test_every_class_is_forbidden(why: str, address: str) -> None:
    """An address that is not on the public Internet is refused under the name of its class."""
    assert why_forbidden(address) == why
    with pytest.raises(ForbiddenURL):
        check_addresses("calls.example", [address])


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_is_allowed(address: str) -> None:
    """Public addresses, up to the very borders of the forbidden networks, are allowed."""
    assert why_forbidden(address) is None
    check_addresses("calls.example", [address])


def test_one_private_address_among_public_ones_is_enough() -> None:
    """A name with a public and a private address is refused: the choice would be the attacker's."""
    with pytest.raises(ForbiddenURL, match="private"):
        check_addresses("calls.example", ["1.1.1.1", "10.0.0.1"])


@given(st.ip_addresses())
def test_nothing_that_python_calls_private_passes(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """The hand-kept table forbids at least what the standard library knows to be no global address."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert why_forbidden(str(address))


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_hides_in_ipv6(inner: ipaddress.IPv4Address) -> None:
    """Whatever IPv4 address it carries, an embedding of IPv4 into IPv6 is forbidden."""
    bits = int(inner)
    for prefix, shift in (
        ("::", 0), ("::ffff:0:0", 0), ("::ffff:0:0:0", 0), ("64:ff9b::", 0), ("64:ff9b:1::", 0),
        ("2002::", 80), ("2001::", 64), ("2001::", 0),
    ):  # fmt: skip
        address = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | bits << shift)
        assert why_forbidden(str(address)), address


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("https://calls.example/a", "https://calls.example/a"),
        ("HTTPS://Calls.Example:443/A", "https://calls.example/A"),
        ("http://calls.example:80", "http://calls.example/"),
        ("https://calls.example:8443?x=1", "https://calls.example:8443/?x=1"),
        ("https://calls.example./a#part", "https://calls.example/a"),
        (" https://calls.example/my call.mp3?q=a b ", "https://calls.example/my%20call.mp3?q=a%20b"),
        (
            "https://calls.example/запись.mp3",
            "https://calls.example/%D0%B7%D0%B0%D0%BF%D0%B8%D1%81%D1%8C.mp3",
        ),
        ("https://Запись.example/a", "https://xn--80ane1al0e.example/a"),
        ("https://запись。example/a", "https://xn--80ane1al0e.example/a"),
        (
            "https://calls.example/a%2Fb?s=%D0%B7+x&t=[1]{2}'|",
            "https://calls.example/a%2Fb?s=%D0%B7+x&t=[1]{2}'|",
        ),
        ("https://calls.example/a/../b//c", "https://calls.example/a/../b//c"),
        ("https://my_router:8080/v1", "https://my_router:8080/v1"),
        ("https://[2A00:0:0::1]:8443/", "https://[2a00::1]:8443/"),
        ("https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/"),
        ("https://127.0.0.1/", "https://127.0.0.1/"),
        ("https://１２７.0.0.1/", "https://127.0.0.1/"),  # full-width digits are digits
    ],
)
def test_urls_are_read_in_one_way(url: str, read: str) -> None:
    """Hosts come to one form; paths and queries stay as sent but for spaces and letters beyond ASCII."""
    assert read_url(url).url == read


@pytest.mark.parametrize(
    "url",
    [
        "", "calls.example/a", "ftp://calls.example/a", "file:///etc/passwd", "gopher://127.0.0.1:6379/_x",
        "//calls.example/a", "https:/calls.example", "https:calls.example", "https://", "https:///a",
        "javascript:alert(1)", "data:audio/wav;base64,AAAA", "unix:/run/x", "dict://127.0.0.1:11211/",
        # user names and passwords, and what parsers take for them
        "https://user@calls.example/", "https://user:secret@calls.example/", "https://calls.example@127.0.0.1/",
        "https://calls.example:443@127.0.0.1/", "https://@calls.example/", "https://127.0.0.1\\@calls.example/",
        "https://calls.example\\@127.0.0.1/", "https://calls.example\\.evil.example/",
        # numbers that some resolvers take for 127.0.0.1, and others do not
        "https://2130706433/", "https://127.1/", "https://127.0.1/", "https://0x7f.1/", "https://0x7f000001/",
        "https://0177.0.0.1/", "https://017700000001/", "https://127.0.0.1.1/", "https://0/", "https://0x/",
        "https://127.0.0.01/", "https://1.2.3.256/", "https://calls.example.1/", "https://①②⑦.1/",
        # brackets, zones, ports
        "https://[::1/", "https://[::1%25eth0]/", "https://[fe80::1%eth0]/", "https://[v1.a]/", "https://[]/",
        "https://[::1]x/", "https://::1/", "https://[127.0.0.1]/", "https://calls.example:0/",
        "https://calls.example:65536/", "https://calls.example:99999999/", "https://calls.example:a/",
        "https://calls.example:-1/", "https://calls.example:80:80/", "https://calls.example:٤٤٣/",
        # names that are none
        "https://.example/", "https://calls..example/", "https://calls.example../", "https://-a.example/",
        "https://a b.example/", "https://a%2eexample/", "https://calls.example%00.evil.example/",
        f"https://{'a' * 64}.example/", f"https://{'a.' * 127}example/", "https://*.example/", "https://!/",
        # control characters
        "https://calls.example/a\r\nX: y", "https://calls.example/\x00", "https://calls\t.example/",
        "\nhttps://calls.example/", "https://calls.example/\x7f", "https://calls.example/" + "a" * 9000,
    ],
)  # fmt: skip
def test_ambiguous_urls_are_refused(url: str) -> None:
    """What two parsers could read in two ways, or what is no http URL at all, is not followed."""
    with pytest.raises(ForbiddenURL):
        read_url(url)


@given(st.text(alphabet="htps:/.@\\[]%#?0123456789abcxé。 ", max_size=40).map(lambda tail: "https://" + tail))
def test_what_is_read_is_what_others_read(url: str) -> None:
    """A URL that passes reads again to itself, and Python and httpx find the same host and port in it."""
    try:
        target = read_url(url)
    except ForbiddenURL:
        return
    assert read_url(target.url) == target
    parts = urlsplit(target.url)
    assert (parts.hostname, parts.port or 443) == (target.host, target.port)
    theirs = httpx.URL(f"{target.scheme}://{target.authority}/")
    assert (theirs.raw_host.decode(), theirs.port or 443) == (target.host, target.port)


@pytest.mark.parametrize(
    ("entry", "url", "covered"),
    [
        ("calls.example", "http://calls.example:9/", True),
        ("Calls.Example.", "https://calls.example/", True),
        ("calls.example", "https://a.calls.example/", False),
        ("calls.example", "https://calls.example.evil.example/", False),
        ("calls.example:8080", "http://calls.example:8080/", True),
        ("calls.example:8080", "http://calls.example/", False),
        ("127.0.0.1", "http://127.0.0.1:5000/", True),
        ("127.0.0.1", "http://[::ffff:127.0.0.1]:5000/", False),
        ("127.0.0.1", "http://localhost/", False),
        ("::1", "http://[0:0::1]:5000/", True),
        ("[::1]:80", "http://[::1]/", True),
        ("[::1]:80", "http://[::1]:81/", False),
        ("https://calls.example", "https://calls.example/a", True),
        ("https://calls.example", "https://calls.example:8443/a", False),
        ("https://calls.example", "http://calls.example:443/a", False),
    ],
)
def test_entries_of_host_lists(entry: str, url: str, covered: bool) -> None:
    """A host covers all its ports, host:port one, an origin scheme and port; none covers another name."""
    assert read_allowed(entry).covers(read_url(url)) is covered


PORTAL = ["https://portal.example", "files.example", "cdn.example:8443"]


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://portal.example/bitrix/tools/ai.php?hash=1", True),
        ("https://PORTAL.example:443/x", True),
        ("https://portal.example./x", True),
        ("http://portal.example/x", False),
        ("https://portal.example:8443/x", False),
        ("https://sub.portal.example/x", False),
        ("https://portal.example.evil.example/x", False),
        ("https://portal.example@evil.example/x", False),
        ("https://evil.example/portal.example", False),
        ("https://evil.example\\@portal.example/", False),
        ("https://evil.example#@portal.example/", False),
        ("https://evil.example?@portal.example/", False),
        ("https://files.example/x", True),
        ("http://files.example/x", False),
        ("https://cdn.example:8443/x", True),
        ("https://cdn.example/x", False),
        ("http://10.0.0.7:5000/x", True),
        ("http://10.0.0.7/x", False),
        ("http://10.0.0.8:5000/x", False),
        ("https://169.254.169.254/latest", False),
        ("/relative", False),
        ("", False),
    ],
)
def test_callbacks_go_home_only(url: str, allowed: bool) -> None:
    """Callbacks point to the portal's own scheme, host and port, its listed hosts, or a trusted host."""
    assert callback_allowed(url, PORTAL, ["10.0.0.7:5000", "not a host!"]) is allowed


def test_a_portal_on_plain_http_gets_plain_callbacks() -> None:
    """Where the operator wrote the portal's URL with http, its callbacks may use it."""
    assert callback_allowed("http://box.lan:8080/x", ["http://box.lan:8080"], [])
    assert not callback_allowed("http://box.lan/x", ["http://box.lan:8080"], [])
    assert not callback_allowed("https://box.lan/x", [], [])


def test_a_silent_name_server_is_not_waited_for() -> None:
    """A look-up ends with its time, whatever the resolver does."""
    never = threading.Event()
    try:
        with pytest.raises(Unresolved, match="in time"):
            resolve("calls.example", 443, timeout_seconds=0.05, lookup=lambda host, port: [str(never.wait())])
    finally:
        never.set()


def test_names_without_addresses_are_unresolved() -> None:
    """No answer, an empty one and a failure of the resolver are one thing: no address."""

    def failing(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    for lookup in (failing, lambda host, port: []):
        with pytest.raises(Unresolved, match="no address"):
            resolve("calls.example", 443, timeout_seconds=5, lookup=lookup)


def test_literals_ask_no_name_server() -> None:
    """An address in a URL is itself the answer."""

    def asked(host: str, port: int) -> list[str]:
        raise AssertionError("asked")

    assert resolve("10.0.0.1", 80, timeout_seconds=1, lookup=asked) == ["10.0.0.1"]
    assert resolve("::1", 80, timeout_seconds=1, lookup=asked) == ["::1"]


def test_a_target_names_its_port_only_where_needed() -> None:
    """The authority is what belongs into a Host header."""
    assert Target(scheme="https", host="::1", port=443, path="/").authority == "[::1]"
    assert Target(scheme="http", host="a.example", port=443, path="/").authority == "a.example:443"
