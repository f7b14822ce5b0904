"""The part of httpd.conf about addresses: what is listened on, TLS, and which host answers for
which name. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from httpd_wsgi.command import words
from httpd_wsgi.command.settings import Bind, ServerSettings


def listeners(settings: ServerSettings) -> Iterator[str]:
    scheme = " https" if settings.is_https_only_binds else ""
    for bind in settings.binds:
        yield f"Listen {bind}{scheme}"
    if settings.https_port is not None:
        for address in dict.fromkeys(bind.host for bind in settings.binds):
            yield f"Listen {Bind(address, settings.https_port)} https"
    if settings.https_certificate:
        yield "SSLSessionCache shmcb:ssl_cache(512000)"
    if settings.is_https_only_binds:
        yield from https(settings)
    if settings.http2:
        yield "Protocols h2 h2c http/1.1"


def https(settings: ServerSettings) -> Iterator[str]:
    yield "SSLEngine On"
    yield "SSLProtocol all -SSLv3 -TLSv1 -TLSv1.1"
    yield f"SSLCertificateFile {words.conf(settings.https_certificate)}"
    if settings.https_key:
        yield f"SSLCertificateKeyFile {words.conf(settings.https_key)}"
    if settings.https_chain:
        yield f"SSLCertificateChainFile {words.conf(settings.https_chain)}"
    if settings.https_client_ca:
        yield f"SSLCACertificateFile {words.conf(settings.https_client_ca)}"
        yield "SSLVerifyClient require"
    if settings.https_environment:
        yield "SSLOptions +StdEnvVars"
    if settings.hsts:
        yield f"Header always set Strict-Transport-Security {words.conf(settings.hsts)}"


# ---- virtual hosts ----


def virtual_hosts(settings: ServerSettings) -> Iterator[str]:
    """Virtual hosts inherit everything from the main server except rewriting. The first one for an
    address answers for all other names.
    """
    if settings.proxy_hosts:
        for port in dict.fromkeys(bind.port for bind in settings.binds):
            yield from host(port, rewriting(settings, is_https=settings.is_https_only_binds))
            yield from proxied(settings, port)
    if settings.https_port is not None:
        yield from host(
            settings.https_port, (*https(settings), *rewriting(settings, is_https=True))
        )
        yield from proxied(settings, settings.https_port, *https(settings))


def host(port: int, lines: Iterable[str]) -> Iterator[str]:
    yield f"<VirtualHost *:{port}>"
    yield from ("    " + line for line in lines)
    yield "</VirtualHost>"


def proxied(settings: ServerSettings, port: int, *tls: str) -> Iterator[str]:
    """Hosts that another server answers for; a ProxyPass comes before the application that would be
    inherited.
    """
    for name, url in settings.proxy_hosts:
        yield from host(port, (f"ServerName {name}", *tls, *forwarding("/", url.rstrip("/") + "/")))


def forwarding(path: str, url: str) -> Iterator[str]:
    """Passes requests below path to the server at url. Headers say where they came in."""
    yield f"ProxyPass {words.conf(path)} {words.conf(url)}"
    yield f"ProxyPassReverse {words.conf(path)} {words.conf(url)}"
    yield f"<Location {words.conf(path)}>"
    yield '    RequestHeader set X-Forwarded-Port "expr=%{SERVER_PORT}"'
    yield '    RequestHeader set X-Forwarded-Scheme "https" "expr=%{HTTPS} == \'on\'"'
    if path != "/":
        yield f"    RequestHeader set X-Forwarded-Prefix {words.conf(path.rstrip('/'))}"
    yield "</Location>"


def rewriting(settings: ServerSettings, is_https: bool) -> Iterator[str]:
    rules = list(rewrite_rules(settings, is_https))
    if rules:
        yield "RewriteEngine On"
        yield from rules


def rewrite_rules(settings: ServerSettings, is_https: bool) -> Iterator[str]:
    if settings.server_name:
        if settings.server_name.startswith("www."):
            short = words.pattern(settings.server_name[4:])
            yield f"RewriteCond %{{HTTP_HOST}} {words.rewrite(f'^{short}(:[0-9]+)?$')} [NC]"
            port = f":{settings.binds[0].port}" if settings.binds[0].port not in (80, 443) else ""
            url = f"{'https' if is_https else 'http'}://{settings.server_name}{port}"
            yield f"RewriteRule ^ {url}%{{REQUEST_URI}} [R=308,L]"
        names = [settings.server_name, *settings.server_aliases]
        local = ["localhost", "127.0.0.1", "[::1]"] if settings.allow_localhost else []
        hosts = "|".join(words.pattern(name).replace("\\*", "[^:]*") for name in (*names, *local))
        yield f"RewriteCond %{{HTTP_HOST}} {words.rewrite(f'!^({hosts})(:[0-9]+)?$')} [NC]"
        yield "RewriteRule ^ - [F]"
    if settings.https_only and not is_https:
        port = "" if settings.https_port == 443 else f":{settings.https_port}"
        yield f"RewriteRule ^ https://%{{SERVER_NAME}}{port}%{{REQUEST_URI}} [R=308,L]"
    if not settings.document_root:
        return
    kinds = ["-f"]
    if settings.directory_listing:
        kinds.append("-d")
    for kind in kinds:
        yield "RewriteCond %{REQUEST_URI} !/$" if kind == "-f" else "RewriteCond %{REQUEST_URI} /$"
        yield f"RewriteCond %{{DOCUMENT_ROOT}}%{{REQUEST_URI}} {kind}"
        yield "RewriteRule ^ %{DOCUMENT_ROOT}%{REQUEST_URI} [END]"
    if settings.directory_index:
        yield "RewriteCond %{REQUEST_URI} /$"
        yield f"RewriteCond %{{DOCUMENT_ROOT}}%{{REQUEST_URI}}{settings.directory_index} -f"
        yield f"RewriteRule ^ %{{DOCUMENT_ROOT}}%{{REQUEST_URI}}{settings.directory_index} [END]"
