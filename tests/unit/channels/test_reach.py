from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from channels.reach import Reach, is_public
from channels.webhook import wrong_url

PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.1"),
    *("2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"),
]
NOT_PUBLIC = [
    # this machine, this network, private, shared (CGNAT), link-local with the clouds' metadata
    *("0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
    *("100.64.0.1", "100.127.255.255", "169.254.0.1", "169.254.169.254"),
    # special, for documentation, for benchmarks, multicast, reserved, broadcast
    *("192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1"),
    *("100::1", "2001:db8::1", "2001:2::1", "2001:10::1", "3fff::1", "5f00::1", "4000::1", "64:ff9b:1::1"),
    # an IPv4 address within: mapped, NAT64, 6to4, Teredo
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe"),
    *("2002:7f00:1::1", "2002:a00:1::1", "2002:a9fe:a9fe::", "2001:0:7f00:1::1", "2001:0:808:808::80ff:fffe"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_any_other_address_is_not(address: str) -> None:
    assert not is_public(ip_address(address))


def test_plain_http_reaches_only_what_is_allowed_by_name() -> None:
    reach = Reach([ip_network("10.1.0.0/16")])

    assert reach.permits("http", "10.1.2.3")
    assert reach.permits("https", "10.1.2.3")
    assert not reach.permits("https", "10.2.0.1")
    assert not reach.permits("http", "8.8.8.8")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/hook?key=1",
        "https://example.com:8443/hook",
        "https://example.com:443/",
        "https://xn--strae-oqa.example/hook",
        "https://8.8.8.8/hook",
        "https://[2606:4700:4700::1111]/hook",
        f"https://example.com/{'x' * 1980}",
    ],
)
def test_an_https_address_of_the_internet_is_good(url: str) -> None:
    assert wrong_url(url, []) == ""


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "http://example.com/hook",
        "ftp://example.com/hook",
        "file:///etc/passwd",
        "gopher://example.com:6379/_FLUSHALL",
        "https://",
        "https:///hook",
        "https://user@example.com/hook",
        "https://user:password@example.com/hook",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/hook#there",
        "https://example.com/a b",
        "https://example.com/a\r\nHost: inside",
        "https://straße.example/hook",
        "https://example.com:22/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://localhost/hook",
        "https://localhost./hook",
        "https://app.localhost/hook",
        "https://printer.local/hook",
        "https://metadata.google.internal/",
        "https://postgres/hook",
        "https://127.0.0.1/hook",
        "https://[::1]/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://169.254.169.254/latest/meta-data",
        f"https://example.com/{'x' * 1981}",
    ],
)
def test_any_other_is_refused_and_not_repeated(url: str) -> None:
    wrong = wrong_url(url, [])

    assert wrong
    assert len(url) < 9 or url not in wrong


def test_an_allowed_network_lets_its_addresses_and_plain_http_in() -> None:
    allowed = [ip_network("10.1.0.0/16")]

    assert wrong_url("http://10.1.2.3:8000/hook", allowed) == ""
    assert wrong_url("http://receiver:8000/hook", allowed) == ""
    assert wrong_url("https://10.2.0.1/hook", allowed)
