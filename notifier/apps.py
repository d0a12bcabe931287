from django.apps import AppConfig
from django.conf import settings


class NotifierConfig(AppConfig):
    name = "notifier"

    def ready(self) -> None:
        import dramatiq

        from notifier import broker

        # Web and worker alike send nudges; the actors that receive them are declared by notifier.worker alone.
        dramatiq.set_broker(broker.build(settings.BROKER_URL, settings.NOTIFIER_CHANNELS))
