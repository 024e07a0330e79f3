#!/usr/bin/env bash
# Makes Docker with the apache/kafka image usable for the integration tests (`TEST_BROKER=docker`), on a bare Debian too:
# installs docker.io (root), starts dockerd, builds the image when it is missing. Exits non-zero and says why when it cannot.
# `docker.sh stop` ends the daemon that it started.
set -euo pipefail
cd "$(dirname "$0")/.."

WORK=$PWD/build/docker
PIDFILE=$WORK/dockerd.pid
PYTHON=${PYTHON:-$PWD/.venv/bin/python}
BEGAN=$SECONDS

say() { echo "[docker] $* ($((SECONDS - BEGAN)) s)"; }
fail() { echo "[docker] $*" >&2; exit 1; }

answers() {
  "$PYTHON" -W ignore -c 'import docker; docker.from_env(timeout=3).ping()' >/dev/null 2>&1
}

ours() {
  [ -f "$PIDFILE" ] && [ "$(cat "/proc/$(cat "$PIDFILE")/comm" 2>/dev/null)" = dockerd ]
}

stop() {
  if ours; then
    kill "$(cat "$PIDFILE")"
    for _ in $(seq 150); do ours || break; sleep 0.1; done
    ours && fail "dockerd (pid $(cat "$PIDFILE")) does not end"
  fi
  rm -f "$PIDFILE"
  say "stopped"
}

install_docker() {
  command -v dockerd >/dev/null || [ -x /usr/sbin/dockerd ] && return
  [ "$(id -u)" = 0 ] || fail "dockerd is not installed, and only root may install it: apt-get install docker.io"
  command -v apt-get >/dev/null || fail "dockerd is not installed, and there is no apt-get to install it"
  # Packages would start their services; here the daemon is started below, with its own data directory.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  mkdir -p "$WORK"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get -qq update && apt-get -qq -y --no-install-recommends install docker.io iptables; } >"$WORK/apt.log" 2>&1 ||
    fail "apt-get cannot install docker.io: $(tail -3 "$WORK/apt.log")"
  say "installed"
}

start_daemon() {
  [ "$(id -u)" = 0 ] || fail "no Docker daemon answers, and only root may start one"
  mkdir -p "$WORK"
  local driver
  for driver in overlay2 vfs; do # vfs is slower and runs where the kernel or the disk refuses overlay
    ours && stop
    PATH=$PATH:/usr/sbin:/sbin setsid nohup dockerd --storage-driver=$driver --data-root "$WORK/data-$driver" \
      >"$WORK/dockerd.log" 2>&1 </dev/null &
    echo $! >"$PIDFILE"
    for _ in $(seq 60); do
      answers && { say "dockerd runs, pid $(cat "$PIDFILE"), $driver"; return; }
      kill -0 "$(cat "$PIDFILE")" 2>/dev/null || break
      sleep 0.2
    done
  done
  fail "dockerd does not start: $(grep -E 'failed|level=fatal|level=error' "$WORK/dockerd.log" | tail -3)"
}

has_image() {
  "$PYTHON" -W ignore -c 'import docker; docker.from_env(timeout=3).images.get("apache/kafka:4.3.1")' >/dev/null 2>&1
}

[ "${1:-}" = stop ] && { stop; exit; }
"$PYTHON" -c 'import docker' 2>/dev/null || fail "$PYTHON lacks the docker package: pip install -e '.[dev,local]'"
answers || { install_docker; start_daemon; }
has_image || "$PYTHON" infra/kafka-image/build.py || fail "the image apache/kafka:4.3.1 cannot be built"
WHY=$("$PYTHON" -c 'from tests.support.kafka_container import why_unusable; print(why_unusable())')
[ -z "$WHY" ] || fail "$WHY"
say "usable"
