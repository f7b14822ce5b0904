"""The files lie beside the directory of the applications."""

import os

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def application(environ, start_response):
    file = open(HERE + environ["SCRIPT_NAME"], "rb")  # noqa: SIM115 - the server closes it
    length = os.fstat(file.fileno()).st_size
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(length))])
    if "wsgi.file_wrapper" in environ:  # a server may do without
        return environ["wsgi.file_wrapper"](file, 65536)
    return iter(lambda: file.read(65536), b"")
