"""The outbox: accept notifications durably, dispatch each over its channel, recover whatever a crash left."""
