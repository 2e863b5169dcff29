# syntax=docker/dockerfile:1
FROM python:3.13.9-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/mehc
COPY requirements.lock ./
# The lock names every package with its hash, so --no-deps leaves nothing to resolve.
RUN /opt/mehc/bin/pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock
COPY requirements-build.lock ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md ./
COPY operator operator
COPY checks checks
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
 && /opt/mehc/bin/pip install --no-cache-dir --no-deps /dist/*.whl \
 && /opt/mehc/bin/pip uninstall --yes pip
COPY hack/slim.py ./
RUN /opt/mehc/bin/python slim.py

FROM python:3.13.9-slim-bookworm
RUN groupadd --gid 65532 mehc && useradd --uid 65532 --gid 65532 --no-create-home --shell /usr/sbin/nologin mehc
COPY --from=build /opt/mehc /opt/mehc
# Where findings and alerts link to; empty: the repository at the released tag.
ARG DOCS_URL=""
ENV MEHC_DOCS_URL=$DOCS_URL
ENV PATH=/opt/mehc/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["mehc"]
CMD ["run"]
