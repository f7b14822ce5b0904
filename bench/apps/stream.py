"""A thousand blocks of 1 KB from a generator, without a length."""

BLOCK = b"x" * 1024


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    for _ in range(1000):
        yield BLOCK
