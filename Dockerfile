# One image for web, worker, migrate and sandbox: the command decides what runs.
#   docker build --tag notifier:production .
#   docker build --target development --tag notifier:development .
# It is plain enough for the classic builder and for BuildKit alike.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# Wheels only, by hash: nothing is compiled, so no compiler is needed in any stage. The environment has no pip,
# because the final image installs nothing; what nobody asks for stays behind: tests that some wheels bring along, and
# the names of the places that telephone numbers belong to (40 MB).
FROM ${PYTHON_IMAGE} AS packages
WORKDIR /build
RUN python -m venv --without-pip /venv
COPY requirements/prod.txt requirements/tracing.txt ./
# `tracing` is all of `prod`, and OpenTelemetry: docs/tracing.md.
ARG REQUIREMENTS=prod
RUN python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
    --only-binary :all: --require-hashes --requirement "${REQUIREMENTS}.txt" \
    && find /venv -type d \( -name tests -o -path '*/phonenumbers/geodata' \) -prune -exec rm -r {} +

FROM packages AS packages-development
COPY requirements/reload.txt .
RUN python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
    --only-binary :all: --require-hashes --requirement reload.txt

# The program, readable by every user whatever the umask of the checkout was, and compiled here because the user who
# runs it can write no bytecode. It is never edited in place, so nobody has to look whether the bytecode is stale.
FROM ${PYTHON_IMAGE} AS source
WORKDIR /app
COPY manage.py ./
COPY deploy/check_http.py deploy/
COPY channels channels/
COPY notifications notifications/
COPY notifier notifier/
RUN chmod -R u=rwX,go=rX . && python -m compileall -q --invalidation-mode unchecked-hash .

# What both images share. The program belongs to root and runs as a user who can write nothing of it, on a root
# file system that may be read-only: logs go to standard error, everything else to Postgres.
FROM ${PYTHON_IMAGE} AS runtime
RUN groupadd --gid 10001 notifier \
    && useradd --uid 10001 --gid notifier --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin notifier
# An empty NOTIFIER_ENV_FILE: settings come from the container's environment, never from a file that got in.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=notifier.settings \
    NOTIFIER_ENV_FILE=
WORKDIR /app
EXPOSE 8000
# Asks the web server; docker-compose.yml has others for the worker and the sandbox.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["python", "deploy/check_http.py", "8000"]
# Requests are short: past ten seconds a web process that will not stop is stuck. A thread that ends takes its database
# connection along, so none ends for a moment's silence. The service writes its own request log: the server's is off.
CMD ["granian", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "8000", "--no-ws", "--no-access-log", \
     "--workers", "2", "--respawn-failed-workers", "--workers-kill-timeout", "10", \
     "--blocking-threads", "8", "--blocking-threads-idle-timeout", "600", \
     "notifier.wsgi:application"]

# docker-compose.yml mounts the checkout's source over this one.
FROM runtime AS development
COPY --from=packages-development /venv /venv
COPY --from=source /app .
USER 10001:10001

FROM runtime AS production
COPY --from=packages /venv /venv
COPY --from=source /app .
USER 10001:10001
