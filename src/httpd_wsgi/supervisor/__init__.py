"""The process that starts, watches and replaces the workers of one daemon group."""
