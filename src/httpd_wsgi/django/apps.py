from __future__ import annotations

from django.apps import AppConfig


class HttpdWsgiConfig(AppConfig):
    name = "httpd_wsgi.django"
    label = "httpd_wsgi_django"  # "django" alone would be in the way of others
    verbose_name = "httpd-wsgi"
