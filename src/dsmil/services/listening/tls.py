"""TLS of a listener: 1.2 or later, certificates from files, clients proven when asked for."""

from __future__ import annotations

import ssl

from dsmil.errors import ConfigError


def server_context(certificate: str, key: str, client_ca: str = "") -> ssl.SSLContext:
    """Return the context of a server; with ``client_ca``, only clients with a certificate of it are let in.

    Raises ConfigError that names the file that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate, key, password=lambda: _refuse_prompt(key))
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"certificate {certificate!r} and key {key!r} cannot be used: {exc}") from exc
    if client_ca:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as exc:
            raise ConfigError(f"certificates of clients {client_ca!r} cannot be used: {exc}") from exc
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _refuse_prompt(key: str) -> str:
    raise ConfigError(f"key {key!r} is encrypted; a listener cannot ask for its passphrase: decrypt the file")
