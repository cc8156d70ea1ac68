# Two stages: one builds, one runs. The second has the program, its libraries, the certificates, and nothing to log in with.
FROM debian:12 AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev cmake ninja-build pkg-config libuv1-dev node-llhttp \
    libcurl4-openssl-dev libjansson-dev libssl-dev liblmdb-dev libcmocka-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cmake --preset release && cmake --build --preset release --target rollout-gateway \
 && strip build/release/rollout-gateway

FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libuv1 libcurl4 libjansson4 libssl3 liblmdb0 ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/rollout-gateway --create-home --shell /usr/sbin/nologin gateway
COPY --from=build /src/build/release/rollout-gateway /usr/local/bin/rollout-gateway
USER 10001
VOLUME /var/lib/rollout-gateway
EXPOSE 8080 8081 9901
STOPSIGNAL SIGTERM
# Exec form: no shell is needed. Asks the admin listener of the same configuration.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["rollout-gateway", "status"]
ENTRYPOINT ["rollout-gateway"]
CMD ["serve", "-c", "/etc/rollout-gateway/gateway.json"]
