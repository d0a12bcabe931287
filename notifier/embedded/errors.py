class EmbeddedError(RuntimeError):
    """Raised when the embedded Postgres cannot be started or reached; says in one sentence what to mend."""
