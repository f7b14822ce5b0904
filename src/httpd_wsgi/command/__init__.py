"""The command `httpd-wsgi`: everything that runs before, beside and around Apache, nothing that
serves requests.
"""
