"""As many rounds of a loop as took 5 ms when the bench began; the same number for every contender."""

import os

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def work(rounds):
    total = 0
    for number in range(rounds):
        total += number * number
    return total


if os.path.exists(HERE + "/rounds"):
    with open(HERE + "/rounds") as file:
        ROUNDS = int(file.read())


def application(environ, start_response):
    work(ROUNDS)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "12")])
    return [b"Hello World!"]
