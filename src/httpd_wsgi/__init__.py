"""httpd-wsgi: serves Python WSGI applications from Apache httpd."""

__version__ = "0.1.0"
