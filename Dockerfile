# Three images of one file: the server, the refill that draws for it, and batch with TensorFlow for training.
#   docker build --target server|refill|batch .
# They run as any user: what is written lies in the volume, which the group 0 may write, and in /tmp.

FROM python:3.11-slim-bookworm AS server
LABEL org.opencontainers.image.title="Gantcha: server" \
    org.opencontainers.image.description="A self-hosted captcha service whose captchas are drawn by neural networks" \
    org.opencontainers.image.licenses="MIT"
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONUNBUFFERED=1 \
    CAPTCHA_DATABASE_URL=sqlite:////var/lib/gantcha/pool.db CAPTCHA_FILES_DIR=/var/lib/gantcha/files
# For the sound. What Debian's stable release has is what there is to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends espeak-ng \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /var/lib/gantcha gantcha \
    && install --directory --owner=gantcha --group=0 --mode=770 /var/lib/gantcha
WORKDIR /srv/gantcha
COPY requirements.txt ./
RUN pip install --requirement requirements.txt
COPY alembic.ini ./
COPY gantcha gantcha
COPY migrations migrations
COPY pool pool
COPY server server
RUN python -m compileall -q .
USER 10001
VOLUME /var/lib/gantcha
EXPOSE 8000
# Alive, not ready: an empty pool or a database that is away is no reason to kill it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
# It can't draw; the refill does.
ENV CAPTCHA_TARGET=0
CMD ["python", "-m", "server", "--host", "0.0.0.0"]

FROM server AS refill
LABEL org.opencontainers.image.title="Gantcha: refill"
USER 0
COPY requirements-batch.txt ./
RUN pip install --requirement requirements-batch.txt
COPY checkpoints checkpoints
COPY batch batch
RUN python -m compileall -q batch
USER 10001
HEALTHCHECK NONE
ENV CAPTCHA_TARGET=2000
CMD ["python", "-m", "server.refill"]

FROM refill AS batch
LABEL org.opencontainers.image.title="Gantcha: batch"
USER 0
COPY requirements-train.txt requirements-parquet.txt requirements-lmdb.txt ./
RUN pip install --requirement requirements-train.txt --requirement requirements-parquet.txt \
    --requirement requirements-lmdb.txt
USER 10001
CMD ["python", "-m", "batch.fill", "--help"]

# What a build without --target gives.
FROM server
