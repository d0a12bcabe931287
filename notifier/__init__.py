"""The Django project: settings from the environment, the web entry, the broker, the embedded Postgres."""
