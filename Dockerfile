# The controller as an image. Another base with Python 3.11 or newer will do: --build-arg BASE=...
# --target demo builds the same with the local Foundry, for demonstrations; the controller's image does not have it.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
RUN python3 -m venv /opt/foundry-rollouts
# The dependencies change seldom, so they come first: exactly the files whose hashes are written down.
COPY deploy/requirements.txt ./
RUN /opt/foundry-rollouts/bin/pip install --no-cache-dir --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY src/foundry_rollouts ./src/foundry_rollouts
COPY migrations ./migrations
RUN /opt/foundry-rollouts/bin/pip wheel --no-cache-dir --no-deps --wheel-dir dist . \
    && /opt/foundry-rollouts/bin/pip install --no-cache-dir --no-deps --no-index dist/*.whl

FROM build AS build-demo
COPY deploy/requirements-demo.txt ./
RUN /opt/foundry-rollouts/bin/pip install --no-cache-dir --require-hashes --requirement requirements-demo.txt
COPY src/foundry_emulator ./src/foundry_emulator
RUN /opt/foundry-rollouts/bin/pip install --no-cache-dir --no-deps ./src/foundry_emulator

FROM ${BASE} AS runtime
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="foundry-rollouts" \
      org.opencontainers.image.description="A progressive-rollout controller for Microsoft Foundry hosted agents" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH="/opt/foundry-rollouts/bin:${PATH}" \
    PYTHONUNBUFFERED=1 \
    FOUNDRY_ROLLOUTS_POLICIES=/etc/foundry-rollouts/policies
# The embedded database lies in the folder the service is started in.
RUN install --directory --owner=10001 --group=10001 /var/lib/foundry-rollouts
WORKDIR /var/lib/foundry-rollouts
USER 10001:10001
ENTRYPOINT ["foundry-rollouts"]

FROM runtime AS demo
COPY --from=build-demo /opt/foundry-rollouts /opt/foundry-rollouts
CMD ["demo"]

FROM runtime
COPY --from=build /opt/foundry-rollouts /opt/foundry-rollouts
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
CMD ["serve"]
