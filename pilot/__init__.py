"""Randomised pilots on a company's own customers.

Imports nothing, so that `import pilot.analysis` in a notebook never loads the web application.
"""

__version__ = "0.1.0"
