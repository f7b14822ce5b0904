"""A Django application: with "httpd_wsgi.django" in INSTALLED_APPS there is `manage.py runhttpd`,
and `runmodwsgi` beside it.
"""
