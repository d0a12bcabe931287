from django.apps import AppConfig
from django.conf import settings


class NotifierConfig(AppConfig):
    name = "notifier"

    def ready(self) -> None:
        import dramatiq
        import structlog

        from notifier import broker

        # Said at every start: servers run no checks. A project that embeds the app may have no such setting.
        if trouble := getattr(settings, "METRICS_TROUBLE", ""):
            structlog.get_logger(__name__).warning("metrics.of_one_process", reason=trouble)
        # Web and worker alike send nudges; the actors that receive them are declared by notifier.worker alone.
        queue_type = getattr(settings, "BROKER_QUEUE_TYPE", "default")
        dramatiq.set_broker(broker.build(settings.BROKER_URL, settings.NOTIFIER_CHANNELS, queue_type=queue_type))
