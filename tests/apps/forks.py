"""Forks; the copy does what the path says, and the original tells how it ended."""

import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import time


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def copy(deed, start_response):
    print(f"a line of {deed} without end", end="")
    if deed == "exit":
        sys.exit(3)
    if deed == "raise":
        raise ValueError("in the copy")
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if deed == "write":
        write(b"copy")
    return [b"copy"]


def say(errors, name):
    print(f"{name} printed")
    logging.error("%s logged", name)
    errors.write(f"{name} written\n")
    raise ValueError(f"{name} raised")


def run(function, *arguments):
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def saying(environ):
    """A process that writes to all streams and raises."""
    return str(run(say, environ["wsgi.errors"], environ["QUERY_STRING"]))


def while_writing(environ):
    """Processes that write, forked while other threads of the same request write, too."""
    errors, done = environ["wsgi.errors"], threading.Event()

    def write_on():
        while not done.is_set():
            errors.write("beside\nbeside\n")

    threads = [threading.Thread(target=write_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    codes = [run(errors.write, "from\nthe copy\n") for _ in range(20)]
    done.set()
    for thread in threads:
        thread.join()
    # CPython 3.11 ends with 1 after a fork in a thread that it has not started itself
    return str(len(codes) - codes.count(0) - codes.count(1))


def terminate(environ):
    """A program that is told to end."""
    process = subprocess.Popen(["sleep", "600"])
    process.terminate()
    return str(process.wait(60))


def program(environ):
    return str(subprocess.run(["timeout", "1", "sleep", "600"], check=False).returncode)


def pool(environ):
    with multiprocessing.get_context("fork").Pool(3) as workers:
        return str(workers.map(abs, [-1, 2]))


def stay(path):
    """Tells where it is, and stays until it is told to end."""
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    time.sleep(600)


def staying(environ):
    process = multiprocessing.get_context("fork").Process(
        target=stay, args=(environ["QUERY_STRING"],)
    )
    process.start()
    wait_for(environ["QUERY_STRING"])
    return str(process.pid)


def generate(start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"both "
    child = os.fork()
    if child == 0:
        yield b"copy"
    yield b"original %d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def application(environ, start_response):
    deed = environ["PATH_INFO"].strip("/")
    if deed == "yield":
        return generate(start_response)
    if deed in ("saying", "while_writing", "terminate", "program", "pool", "staying"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [globals()[deed](environ).encode()]
    child = os.fork()
    if child == 0 and deed == "stay":
        wait_for(environ["QUERY_STRING"])
        os._exit(0)
    if child == 0:
        return copy(deed, start_response)
    status = child if deed == "stay" else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"original {status}".encode()]
