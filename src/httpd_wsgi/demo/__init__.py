"""The application that `httpd-wsgi serve --demo` shows."""
