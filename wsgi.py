"""WSGI entry point: `gunicorn wsgi:app`."""

from pilot.app import create_app

app = create_app()
