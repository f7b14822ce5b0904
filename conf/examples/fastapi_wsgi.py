"""The adapter of fastapi.conf: the application of items.py, whose event loop runs in a thread of
each worker.
"""

from a2wsgi import ASGIMiddleware
from items import app

application = ASGIMiddleware(app)
