"""The fields of custom resources that the manifests rely on, for which Kubernetes' own schemas have nothing.

Checked by hand against what their authors publish; a field that is not here has not been checked. A type, a mapping of
fields, a list of what each entry is, or FREE for what is the user's own.

CloudNativePG 1.26 and later: https://cloudnative-pg.io/docs/ ("API Reference")
The Barman Cloud plugin: https://cloudnative-pg.io/plugin-barman-cloud/docs/usage/
RabbitMQ's cluster operator 2.10 and later: https://www.rabbitmq.com/kubernetes/operator/using-operator
The Prometheus operator: https://prometheus-operator.dev/docs/api-reference/api/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

FREE: Final = object()

_labels: Final = {"matchLabels": FREE}
_resources: Final = {"requests": FREE, "limits": FREE}
_secret_key: Final = {"name": str, "key": str}
_context: Final = {"allowPrivilegeEscalation": bool, "capabilities": {"drop": [str]}}
_endpoint: Final = {"port": str, "path": str, "interval": str}

FIELDS: Final[dict[tuple[str, str], Any]] = {
    ("postgresql.cnpg.io/v1", "Cluster"): {
        "instances": int,
        "imageName": str,
        "inheritedMetadata": {"labels": FREE},
        "bootstrap": {
            "initdb": {"database": str, "owner": str, "encoding": str, "localeCollate": str, "localeCType": str}
        },
        "postgresql": {"synchronous": {"method": str, "number": int, "dataDurability": str}, "parameters": FREE},
        "plugins": [{"name": str, "isWALArchiver": bool, "parameters": {"barmanObjectName": str}}],
        "affinity": {"podAntiAffinityType": str, "topologyKey": str},
        "storage": {"size": str},
        "walStorage": {"size": str},
        "resources": _resources,
    },
    ("postgresql.cnpg.io/v1", "ScheduledBackup"): {
        "schedule": str,
        "backupOwnerReference": str,
        "cluster": {"name": str},
        "method": str,
        "pluginConfiguration": {"name": str},
    },
    ("barmancloud.cnpg.io/v1", "ObjectStore"): {
        "retentionPolicy": str,
        "configuration": {
            "destinationPath": str,
            "s3Credentials": {"accessKeyId": _secret_key, "secretAccessKey": _secret_key},
            "wal": {"compression": str},
            "data": {"compression": str},
        },
    },
    ("rabbitmq.com/v1beta1", "RabbitmqCluster"): {
        "replicas": int,
        "image": str,
        "rabbitmq": {"additionalConfig": str},
        "persistence": {"storage": str},
        "resources": _resources,
        "affinity": FREE,  # Kubernetes' own
        "override": {
            "statefulSet": {
                "spec": {
                    "template": {
                        "spec": {
                            "securityContext": {"runAsNonRoot": bool, "seccompProfile": {"type": str}},
                            "containers": [{"name": str, "securityContext": _context}],
                            "initContainers": [{"name": str, "securityContext": _context}],
                        }
                    }
                }
            }
        },
    },
    ("monitoring.coreos.com/v1", "ServiceMonitor"): {"jobLabel": str, "selector": _labels, "endpoints": [_endpoint]},
    ("monitoring.coreos.com/v1", "PodMonitor"): {"selector": _labels, "podMetricsEndpoints": [_endpoint]},
    ("monitoring.coreos.com/v1", "PrometheusRule"): {
        "groups": [{"name": str, "interval": str, "rules": [{"record": str, "expr": str, "labels": FREE}]}]
    },
}


def unknown(given: Any, known: Any, path: str = "spec") -> Iterator[str]:
    """What of `given` is not known, or of another kind."""
    if known is FREE:
        return
    if isinstance(known, type):
        if type(given) is not known:
            yield f"{path} is {given!r}, and no {known.__name__}"
    elif isinstance(known, list):
        for place, each in enumerate(given if isinstance(given, list) else [given]):
            yield from unknown(each, known[0], f"{path}[{place}]")
    elif not isinstance(given, dict):
        yield f"{path} has no fields"
    else:
        for field, value in given.items():
            if field not in known:
                yield f"{path}.{field} is not known"
            else:
                yield from unknown(value, known[field], f"{path}.{field}")
