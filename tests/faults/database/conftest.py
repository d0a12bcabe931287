from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .servers import Template
    from .service import Service


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    """A database as it is right after `migrate`; each test has a copy, and a server, of its own."""
    from channels import sandbox

    from . import servers

    with servers.template(sandbox.environment(9, 9)) as made:
        yield made


@pytest.fixture
def service_on(template: Template, tmp_path: Path) -> Callable[[str], AbstractContextManager[Service]]:
    """The service on the database of this URL, no process of it started yet; beside it more of its environment."""
    from .service import Service

    return lambda url, **extra: Service(url, template.api_key, tmp_path, **extra)
