"""People's addresses and secrets as logs, terminals and pages for many eyes may show them."""

MASK = "•••"


def recipient(address: str) -> str:
    """`+14155552671` → `+1415•••••71`, `ann@example.com` → `a•••@example.com`; a name (a webhook's) stays."""
    if "@" in address:
        local, _, domain = address.rpartition("@")
        return f"{local[:1]}{MASK}@{domain}"
    if address.startswith("+") and len(address) > 7:
        return f"{address[:5]}{'•' * (len(address) - 7)}{address[-2:]}"
    return address


def on_channel(channel: str, address: str, *, test: bool = False) -> str:
    """One recipient as lists for many eyes name it: `sms +1415•••••71`, of a test `sms +1415•••••71 (test)`."""
    return f"{channel} {recipient(address)}{' (test)' if test else ''}"
