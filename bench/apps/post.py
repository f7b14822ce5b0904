"""Reads the whole body and says how long it was."""


def application(environ, start_response):
    total, read = 0, environ["wsgi.input"].read
    while data := read(65536):
        total += len(data)
    body = b"%d" % total
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
