# syntax=docker/dockerfile:1
# The index of all platforms; docs/release.md says how to move it. The tag only says what the digest is.
ARG BASE=python:3.13.16-slim-trixie@sha256:bf44cdfcb76cd3b41e879bc058fc37ec5872002ccfde7fcb765e218cde0cd79c
FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv /opt/mehc && python -m venv /opt/build
COPY requirements.lock ./
# The lock names every package with its hash, so --no-deps leaves nothing to resolve.
RUN /opt/mehc/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY requirements-build.lock ./
RUN /opt/build/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md ./
COPY operator operator
COPY checks checks
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/mehc/bin/pip install --no-cache-dir --no-deps /dist/*.whl \
 && /opt/mehc/bin/pip uninstall --yes pip
COPY hack/slim.py hack/rootfs.py ./
RUN /opt/mehc/bin/python slim.py && /opt/mehc/bin/python rootfs.py /rootfs

FROM scratch
COPY --from=build /rootfs /
# Where findings and alerts link to; empty: the repository at the released tag.
ARG DOCS_URL=""
ENV MEHC_DOCS_URL=$DOCS_URL
# One arena of malloc: threads call boto3 and libpq one request at a time, and each arena keeps what it has freed.
ENV PATH=/opt/mehc/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=1
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["mehc"]
CMD ["run"]
