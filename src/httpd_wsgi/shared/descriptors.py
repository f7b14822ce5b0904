"""Numbers of the descriptors that a supervisor gets from Apache (src/wire/group.h), and its workers from it."""

FD_LISTEN, FD_LIFELINE, FD_SETTINGS, FD_BOARD, FD_SCORES, FD_CONTROL, FD_HOUSE, FD_ACTIVITY = range(3, 11)
FD_CRASH = 11  # of a worker: a memory file for the stacks that faulthandler writes
