"""The process that serves the requests of a daemon group."""
