"""Modules that are served in the application's place or beside it while somebody develops it."""
