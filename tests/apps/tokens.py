"""Each answer carries its request's token, in its header and all through its body; the query says
in which shape.
"""

import hashlib
import tempfile

FILE_REPEATS = 3000


def pieces(token, count):
    for _ in range(count):
        yield token


def cut_off(token):
    yield token
    raise ValueError(f"token {token.decode()}: cut off")


def file_of(environ, token):
    file = tempfile.TemporaryFile()  # noqa: SIM115
    file.write(token * FILE_REPEATS)
    file.seek(0)
    return environ["wsgi.file_wrapper"](file)


def application(environ, start_response):
    token = environ["HTTP_X_TOKEN"].encode()
    body = environ["wsgi.input"]
    shape, _, size = environ["QUERY_STRING"].partition("=")
    count = int(size or 0)
    if shape == "raise":
        raise ValueError(f"token {token.decode()}: raised")
    read = body.read() if shape == "digest" else body.read(count) if shape == "part" else b""
    start_response("200 OK", [("X-Token", token.decode())])
    if shape == "digest":
        return [token, hashlib.sha256(read).hexdigest().encode()]
    if shape == "part":
        return [token, str(len(read)).encode()]
    if shape == "stream":
        return pieces(token, count)
    if shape == "large":
        return [token * count]
    if shape == "cut":
        return cut_off(token)
    if shape == "file":
        return file_of(environ, token)
    return [token]
