"""Load over HTTP by wrk: sixteen connections that post as fast as they are answered, each request under a new key."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONNECTIONS: Final = 16

# One state for each of wrk's threads: their numbers keep the keys apart.
_SCRIPT: Final = """
local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end
function init()
  for name, value in pairs(HEADERS) do wrk.headers[name] = value end
  posted = 0
end
function request()
  posted = posted + 1
  wrk.headers["Idempotency-Key"] = RUN .. "-" .. number .. "-" .. posted
  return wrk.format("POST", nil, nil, BODY)
end
function done(summary, latency)
  local bad = summary.errors.connect + summary.errors.read + summary.errors.status + summary.errors.timeout
  io.write(string.format('\\n{"requests": %d, "us": %d, "p50": %d, "p99": %d, "bad": %d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), bad))
end
"""
# wrk asks for it before each request: whoever wants none must not have it.
_PAUSES: Final = """
function delay()
  return PAUSE * 2 * math.random()
end
"""


@dataclass(frozen=True)
class Load:
    """What one burst came to."""

    rate: float  # requests a second
    seconds: float
    p50: float  # ms
    p99: float  # ms


def post(
    url: str,
    body: object,
    headers: Mapping[str, str],
    *,
    seconds: float,
    connections: int = CONNECTIONS,
    pause: float = 0.0,
) -> Load:
    """`pause`: seconds, the mean of a random time before each request of a connection.

    Raises: SystemExit where wrk is missing or any answer was an error.
    """
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("The bench needs wrk (Debian: apt-get install wrk).")
    names = {"Content-Type": "application/json", **headers}
    headers_in_lua = ", ".join(f"[ {_lua(name)} ] = {_lua(value)}" for name, value in names.items())
    script = (
        f"RUN = {json.dumps(uuid.uuid4().hex)}\nPAUSE = {1000 * pause:g}\nBODY = {_lua(json.dumps(body))}\n"
        f"HEADERS = {{{headers_in_lua}}}\n{_SCRIPT}{_PAUSES if pause else ''}"
    )
    with tempfile.TemporaryDirectory(prefix="notifier-bench-") as folder:
        file = Path(folder, "post.lua")
        file.write_text(script, encoding="utf-8")
        command = [program, "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(file), url]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"wrk failed: {ran.stderr or ran.stdout}")
    found = json.loads(ran.stdout.strip().splitlines()[-1])
    if found["bad"] or not found["requests"]:
        raise SystemExit(f"{url}: {found['bad']} of {found['requests']} requests failed\n{ran.stdout}")
    seconds = found["us"] / 1e6
    return Load(found["requests"] / seconds, seconds, found["p50"] / 1000, found["p99"] / 1000)


def _lua(text: str) -> str:
    return "[==[" + text + "]==]"
