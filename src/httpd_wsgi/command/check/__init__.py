"""`httpd-wsgi check` and `httpd-wsgi explain`."""
