"""The usual stack: Django REST framework, a row by the ORM, a message by Dramatiq over Redis; granian in front."""

from tests.bench.peers.drf_dramatiq.drains import DramatiqRedis as DramatiqRedis
from tests.bench.peers.drf_dramatiq.serves import DrfDramatiq as DrfDramatiq
