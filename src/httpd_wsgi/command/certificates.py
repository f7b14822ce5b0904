"""Checks of certificates and keys before httpd starts, because its own messages about them do not
name the file.
"""

from __future__ import annotations

from httpd_wsgi.command.errors import EXIT_CERTIFICATE, CommandError


class Encrypted(Exception):
    """A pass phrase was asked for."""


def check_pem(option: str, path: str) -> None:
    try:
        with open(path, "rb") as file:
            begins = b"-----BEGIN " in file.read(1 << 20)
    except OSError as exc:
        raise CommandError(
            f"{option} {path}: cannot be read: {exc.strerror}", EXIT_CERTIFICATE
        ) from exc
    if not begins:
        raise CommandError(
            f"{option} {path}: expected a file in PEM format, with a line -----BEGIN ...-----",
            EXIT_CERTIFICATE,
        )


def ask() -> str:
    raise Encrypted


def check_pair(certificate: str, key: str) -> None:
    """Raises CommandError when key and certificate do not belong together, or the key needs a pass
    phrase. A Python without TLS leaves these checks to httpd.
    """
    try:
        import ssl  # only with HTTPS: it takes longer to load than all else
    except ImportError:
        return
    shown = f"--https-certificate {certificate}" + (f" with --https-key {key}" if key else "")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key or None, ask)
    except Encrypted:
        path = key or certificate
        cure = f"httpd cannot ask for its pass phrase here; run: openssl pkey -in '{path}' -out '{path}.plain'"
        raise CommandError(
            f"{shown}: the key in {path} is encrypted; {cure}", EXIT_CERTIFICATE
        ) from None
    except ssl.SSLError as exc:
        raise CommandError(f"{shown}: {reason_of(exc, key)}", EXIT_CERTIFICATE) from exc


def reason_of(exc: Exception, key: str) -> str:
    reason = str(getattr(exc, "reason", None) or "")
    if "MISMATCH" in reason:
        return "the key is not that of the certificate"
    if "NO_START_LINE" in reason or reason == "PEM_LIB" or not reason:
        return "expected a certificate and its key in PEM format" + (
            "" if key else "; name the key with --https-key FILE"
        )
    return f"cannot be used: {reason.lower().replace('_', ' ')}"
