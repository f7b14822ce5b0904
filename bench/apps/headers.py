"""Ten response headers."""

HEADERS = [("Content-Type", "text/plain"), ("Content-Length", "12")]
HEADERS += [(f"X-Bench-{number}", "the value of a header") for number in range(8)]


def application(environ, start_response):
    start_response("200 OK", list(HEADERS))
    return [b"Hello World!"]
