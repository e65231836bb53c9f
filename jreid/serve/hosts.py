"""Under which names the page may be asked for, and where it may be listened."""

import ipaddress
import re
import socket
from dataclasses import dataclass

_NAME = r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)"
_HOST = re.compile(rf"{_NAME}(:[0-9]{{1,5}})?", re.ASCII)
_LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "[::1]"))
SHORTEST_TOKEN = 16  # characters


@dataclass(frozen=True)
class Hosts:
    """The names of this server in a request's `Host`.

    A foreign page reaches a server on this machine by a name of its own that resolves
    to 127.0.0.1 (DNS rebinding); the `Host` header then holds that name. A number
    cannot be resolved to another machine.
    """

    names: frozenset[str] = _LOOPBACK_NAMES
    any_number: bool = False
    """Every IP address is allowed."""

    def allows(self, header: str) -> bool:
        """Whether a `Host` header, with or without a port, names this server."""
        match = _HOST.fullmatch(header.lower())
        if match is None:
            return False
        name = match[1]
        return name in self.names or (self.any_number and _is_number(name))


def listen_at(host: str, token: str, names: tuple[str, ...]) -> tuple[str, Hosts]:
    """The address to listen at, and the names that requests may use.

    Args:
        host: a name or number of this machine.
        token: what clients must know; "" for none.
        names: further names of this server, as behind a proxy.

    Raises:
        ValueError: the host is unknown, or is not this machine's alone and there is no
            token; or a further name that no `Host` header can have.
    """
    for name in names:
        if not re.fullmatch(_NAME, name.lower()):
            raise ValueError(
                f"--names has {name!r}; allowed are names and numbers without http:// "
                "and without a port, every one of which is let in: www.example.org, "
                "[2001:db8::1]"
            )
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ValueError(
            f"--host is {host!r}, which is no address of this machine ({error}); "
            "allowed are names and numbers like 127.0.0.1"
        ) from error
    addresses = [str(where[4][0]) for where in found]
    is_private = all(ipaddress.ip_address(_bare(a)).is_loopback for a in addresses)
    if not is_private and not token:
        raise ValueError(
            f"--host is {host!r}, which other machines reach: give a --token_file, or "
            "use 127.0.0.1"
        )
    known = {name.lower() for name in names} | _LOOPBACK_NAMES
    if is_private:
        return addresses[0], Hosts(frozenset(known))
    own = {host.lower(), socket.gethostname().lower()}
    return addresses[0], Hosts(frozenset(known | own), any_number=True)


def check_token(token: str) -> None:
    """Raises ValueError where a token is short or cannot stand in a header."""
    allowed = len(token) >= SHORTEST_TOKEN and re.fullmatch(r"[!-~]+", token)
    if not allowed:
        raise ValueError(
            f"the token has {len(token)} characters; allowed are {SHORTEST_TOKEN} or "
            "more ASCII letters without spaces: python -c 'import secrets; "
            "print(secrets.token_urlsafe())'"
        )


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _bare(address: str) -> str:
    return address.split("%")[0]  # of a link-local address without its interface
