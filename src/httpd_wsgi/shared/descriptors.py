"""Numbers of the descriptors that a supervisor gets from Apache (src/wire/group.h), and its workers
from it.
"""

FD_LISTEN = 3
FD_GENERATION_LIFELINE = 4  # ends when no Apache process of the supervisor's generation is left
FD_SUPERVISOR = 4  # in a worker: the socket to its supervisor
FD_SETTINGS = 5
FD_BOARD = 6
FD_SCORES = 7
FD_CONTROL = 8
FD_SERVER_LIFELINE = 9  # ends when no Apache process of any generation is left
FD_ACTIVITY = 10
FD_CRASH = 11  # of a worker: a memory file for the stacks that faulthandler writes
