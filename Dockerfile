# The controller as an image. Other bases with Python 3.11 or newer will do: BASE needs venv and is built in; RUNTIME is
# what the containers run on, has the same Python at the same path, and needs no shell.
# --target demo builds the same with the local Foundry, for demonstrations; the controller's image does not have it.
ARG BASE=python:3.11-slim-bookworm
ARG RUNTIME=${BASE}

FROM ${BASE} AS build
WORKDIR /build
# pip stays behind in this stage: what is shipped cannot install anything.
RUN python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/foundry-rollouts \
    && install --directory /state
ENV PIP="/opt/pip/bin/pip --disable-pip-version-check --python /opt/foundry-rollouts/bin/python" \
    OPTIONS="install --no-cache-dir --no-compile"
# The dependencies change seldom, so they come first: exactly the files whose hashes are written down.
COPY deploy/requirements.txt deploy/requirements-build.txt ./
RUN $PIP $OPTIONS --require-hashes --requirement requirements.txt \
    && /opt/pip/bin/pip $OPTIONS --require-hashes --requirement requirements-build.txt
COPY pyproject.toml README.md LICENSE ./
COPY src/foundry_rollouts ./src/foundry_rollouts
COPY migrations ./migrations
# Compiled here, since nothing can be written later; told apart by no time, so that the same sources give the same bytes.
RUN /opt/pip/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
    && $PIP $OPTIONS --no-deps --no-index dist/*.whl \
    && find /opt/foundry-rollouts/bin -type f ! -name foundry-rollouts -delete \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/foundry-rollouts/lib

FROM build AS build-demo
COPY deploy/requirements-demo.txt ./
RUN $PIP $OPTIONS --require-hashes --requirement requirements-demo.txt
COPY src/foundry_emulator ./src/foundry_emulator
RUN /opt/pip/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist-demo ./src/foundry_emulator \
    && $PIP $OPTIONS --no-deps --no-index dist-demo/*.whl \
    && find /opt/foundry-rollouts/bin -type f ! -name foundry-rollouts -delete \
    && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/foundry-rollouts/lib

FROM ${RUNTIME} AS runtime
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="foundry-rollouts" \
      org.opencontainers.image.description="A progressive-rollout controller for Microsoft Foundry hosted agents" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH="/opt/foundry-rollouts/bin:${PATH}" \
    HOME=/var/lib/foundry-rollouts \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FOUNDRY_ROLLOUTS_POLICIES=/etc/foundry-rollouts/policies
# The embedded database lies in the folder the service is started in, the only one that is written to.
COPY --from=build --chown=10001:10001 /state /var/lib/foundry-rollouts
WORKDIR /var/lib/foundry-rollouts
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["foundry-rollouts"]

FROM runtime AS demo
COPY --from=build-demo /opt/foundry-rollouts /opt/foundry-rollouts
CMD ["demo"]

FROM runtime
COPY --from=build /opt/foundry-rollouts /opt/foundry-rollouts
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; port = os.environ.get('FOUNDRY_ROLLOUTS_LISTEN', ':8080').split(':')[-1]; u.urlopen(f'http://127.0.0.1:{port}/healthz', timeout=4)"]
CMD ["serve"]
