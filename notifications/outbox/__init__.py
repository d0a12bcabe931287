"""All SQL of the service: every edge of the state table is one function here."""
