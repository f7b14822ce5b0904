"""`httpd-wsgi express`: the commands of mod_wsgi-express."""
