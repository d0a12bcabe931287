"""Which addresses may be connected to, where strangers name the host: those of the public internet, and no others.

Asked after the look-up, of the very address that is connected to next: what a name says is nobody's promise, and says
something else a second later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Public by Python's word in some of its versions, and of no use to anybody who means well.
# https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry
_NEVER: Sequence[Network] = tuple(
    ip_network(each)
    for each in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),
        *("100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16"),
    )
)
_ORDINARY = IPv6Network("2000::/3")  # of IPv6 nothing else has been given to anybody yet
# RFC 6052: what a network without IPv4 reaches IPv4 by; whoever translates would connect to the address within.
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Reach:
    """`allowed`: networks that are let in although they are not public."""

    allowed: Sequence[Network] = ()

    def permits(self, scheme: str, address: str) -> bool:
        """Whether `address` (as text, its scope included) may be connected to by `http` or `https`.

        By plain http only what is allowed by name of its network: on the internet anybody would read along.
        """
        parsed = ip_address(address)
        if any(parsed in network for network in self.allowed):
            return True
        return scheme == "https" and is_public(parsed)


def is_public(address: Address) -> bool:
    """Whether it is somebody's on the internet, and so is every IPv4 address that it leads to."""
    if isinstance(address, IPv4Address):
        return address.is_global and not _is_special(address)
    within = list(_embedded(address))
    if within:
        return all(is_public(each) for each in within)
    return address in _ORDINARY and address.is_global and not _is_special(address)


def _is_special(address: Address) -> bool:
    return (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or any(address in network for network in _NEVER)
    )


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """IPv4 addresses that an IPv6 address stands for: mapped, 6to4, Teredo (server and client), NAT64."""
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
