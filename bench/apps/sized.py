"""Sends as many bytes as the query says, in blocks of at most 1 MB, after it has read whatever it
was sent.
"""

BLOCK = b"x" * 1024 * 1024


def blocks(size):
    while size > 0:
        yield BLOCK[:size] if size < len(BLOCK) else BLOCK
        size -= len(BLOCK)


def application(environ, start_response):
    read = environ["wsgi.input"].read
    while read(65536):
        pass
    size = int(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(size))])
    return blocks(size)
