BODIES = {
    "/body-100k": b"x" * 100 * 1024,
    "/body-1m": b"x" * 1024 * 1024,
    "/body-10m": b"x" * 10 * 1024 * 1024,
}


def application(environ, start_response):
    body = BODIES[environ["SCRIPT_NAME"]]
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
