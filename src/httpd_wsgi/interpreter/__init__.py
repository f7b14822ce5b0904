"""Inside each interpreter that runs applications, in a worker or an Apache process: what the
runtime (src/runtime) calls.
"""
