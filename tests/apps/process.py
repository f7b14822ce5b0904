"""Facts about the process that runs it, as JSON; with /hold, once the file in the query string
exists.
"""

import ctypes
import json
import locale
import os
import resource
import socket
import stat
import time


def stack_size():
    libc = ctypes.CDLL(None)
    libc.pthread_self.restype = ctypes.c_void_p
    attributes, size = ctypes.create_string_buffer(128), ctypes.c_size_t()
    libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attributes)
    libc.pthread_attr_getstacksize(attributes, ctypes.byref(size))
    return size.value


def sockets():
    """[owner, send buffer] of each AF_UNIX socket; the buffer is None for a path to one."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            info = os.fstat(int(name))
            if not stat.S_ISSOCK(info.st_mode):
                continue
            own = os.dup(int(name))
        except OSError:
            continue  # was the directory's own, or another thread has closed it
        try:
            sock = socket.socket(fileno=own)
        except OSError:
            os.close(own)
            found.append([info.st_uid, None])
            continue
        with sock:
            if sock.family == socket.AF_UNIX:
                found.append([info.st_uid, sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)])
    return found


def application(environ, start_response):
    if environ["PATH_INFO"] == "/hold":
        open(environ["QUERY_STRING"] + ".held", "w").close()
        while not os.path.exists(environ["QUERY_STRING"]):
            time.sleep(0.01)
    if environ["PATH_INFO"] == "/memory":
        try:
            bytearray(1 << 30)
        except MemoryError:
            start_response("507 Insufficient Storage", [])
            return [b"no memory"]
    start_response("200 OK", [("Content-Type", "application/json")])
    facts = {
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "cwd": os.getcwd(),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "groups": os.getgroups(),
        "root": sorted(os.listdir("/")),
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "data": resource.getrlimit(resource.RLIMIT_DATA),
        "address_space": resource.getrlimit(resource.RLIMIT_AS),
        "stack": stack_size(),
        "numeric_locale": locale.setlocale(locale.LC_NUMERIC),
        "eggs": os.environ.get("PYTHON_EGG_CACHE"),
        "sockets": sockets(),
        "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
    }
    return [json.dumps(facts).encode()]
