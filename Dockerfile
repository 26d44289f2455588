# One target a program: producer, sinker, quickstart. Nothing in the images but the program, the authorities it trusts,
# and a wget for health checks; no shell, no root.

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /out/ ./cmd/...

FROM busybox:1.37-musl AS tools

FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=tools /bin/wget /bin/wget
USER 65532:65532
WORKDIR /

FROM base AS quickstart
COPY --from=build /out/quickstart /bin/quickstart
ENTRYPOINT ["/bin/quickstart"]

FROM base AS producer
COPY --from=build /out/producer /bin/producer
ENTRYPOINT ["/bin/producer"]

FROM base AS sinker
COPY --from=build /out/sinker /bin/sinker
ENTRYPOINT ["/bin/sinker"]
