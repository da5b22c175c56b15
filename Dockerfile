# The service: one image, run by docker-compose.yml part by part, or as a whole:
#   docker run -v callscribe:/data -p 8000:8000 IMAGE
# For builds that are the same tomorrow, name the base by its digest, as `docker buildx imagetools inspect
# python:3.12-slim` tells it: --build-arg PYTHON=python:3.12-slim@sha256:...
ARG PYTHON=python:3.12-slim
FROM ${PYTHON} AS build
WORKDIR /src
COPY requirements.lock requirements-dev.lock ./
# the build's own tools are locked too, and stay behind in this stage
RUN python -m venv /tools && /tools/bin/pip install --no-cache-dir --require-hashes -r requirements-dev.lock \
 && python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY workers workers
COPY fixtures fixtures
# the very wheel of a release: built by the same command, the same bytes from the same commit
RUN /tools/bin/python -m hatchling build -t wheel -d /wheels \
 && /venv/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM build AS trying
COPY requirements-sandbox.lock ./
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements-sandbox.lock

FROM build AS hearing
COPY requirements-whisper.lock ./
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements-whisper.lock

FROM ${PYTHON} AS runtime
RUN useradd --uid 10001 --no-create-home --home-dir /data callscribe \
 && install --directory --owner callscribe --group callscribe --mode 700 /data
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 CALLSCRIBE_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
ENTRYPOINT ["callscribe"]

# docker build --target whisper: the recogniser alone, 350 MB more
FROM runtime AS whisper
COPY --from=hearing /venv /venv
EXPOSE 8200
CMD ["whisper", "--host", "0.0.0.0", "--port", "8200"]

# docker build --target sandbox: with the recogniser of the stand-in portal and router
FROM runtime AS sandbox
COPY --from=trying /venv /venv
EXPOSE 8100
CMD ["sandbox", "--host", "0.0.0.0", "--port", "8100"]

FROM runtime
COPY --from=build /venv /venv
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["callscribe"]
CMD ["up", "--host", "0.0.0.0", "--port", "8000"]
