"""Who serves, as the locks on a group's board tell."""

from __future__ import annotations

import os

from httpd_wsgi.shared import board


def test_a_claim_ends_with_its_process_even_when_a_forked_one_lives_on() -> None:
    fd = os.memfd_create("board")
    os.ftruncate(fd, board.SIZE)
    shared = board.Board(fd)
    claimed, end, ended, last = os.pipe(), os.pipe(), os.pipe(), os.pipe()
    if (pid := os.fork()) == 0:
        shared.claim(3)
        if os.fork() == 0:
            os.write(claimed[1], b"x")
            os.close(last[1])
            os.close(end[1])
            os.read(ended[0], 1)
            os._exit(0)
        os.read(end[0], 1)
        os._exit(0)
    os.read(claimed[0], 1)
    assert shared.claimant(4) == pid
    assert shared.claimant(3) is None
    os.write(end[1], b"x")
    os.waitpid(pid, 0)
    assert shared.claimant(4) is None
    os.write(ended[1], b"x")
    for pair in (claimed, end, ended, last):
        os.close(pair[0])
        os.close(pair[1])
    os.close(fd)


def test_who_drains_gives_up_its_claim() -> None:
    fd = os.memfd_create("board")
    os.ftruncate(fd, board.SIZE)
    shared = board.Board(fd)
    done, drained, end = os.pipe(), os.pipe(), os.pipe()
    if (pid := os.fork()) == 0:
        shared.claim(1)
        os.write(done[1], b"x")
        os.read(drained[0], 1)
        shared.disclaim(1)
        os.write(done[1], b"x")
        os.read(end[0], 1)
        os._exit(0)
    os.read(done[0], 1)
    assert shared.claimant(2) == pid
    os.write(drained[1], b"x")
    os.read(done[0], 1)
    assert shared.claimant(2) is None
    os.write(end[1], b"x")
    os.waitpid(pid, 0)
    for pair in (done, drained, end):
        os.close(pair[0])
        os.close(pair[1])
    os.close(fd)
