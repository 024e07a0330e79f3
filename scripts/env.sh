# Sourced as `source scripts/env.sh local` or `… local,dev` from the root: makes .venv, or brings it up to date with
# pyproject.toml. Does nothing (some milliseconds) when it already is.
env_extras="${1:?local or local,dev}"
env_seal="$({ pwd && cat pyproject.toml; } | sha256sum | cut -d' ' -f1)"
# Not the name of the caller's variable: this file must not hide what it was given.
env_has() { grep -qxF -e "$env_seal $env_extras" -e "$env_seal local,dev" .venv/installed 2>/dev/null; }

env_python() { # The first interpreter that is new enough and can make environments; else what is missing, exactly.
  local candidate seen="" check='import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'
  for candidate in python3.13 python3.12 python3.11 python3; do
    if "$candidate" -c "$check" >/dev/null 2>&1; then
      command -v "$candidate"
      return
    fi
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; then
      seen="${seen:-$candidate}"
    fi
  done
  if [ -n "$seen" ]; then
    echo "Missing: the venv module of $seen. On Debian, as root: apt-get install ${seen}-venv" >&2
  else
    echo "Missing: Python 3.11, 3.12 or 3.13 (found: $(python3 -V 2>&1 || echo none))." \
      "On Debian 12 or later, as root: apt-get install python3 python3-venv" >&2
  fi
  return 1
}

env_make() {
  local python
  if ! [ -x .venv/bin/python ] || { [ -f .venv/installed ] && ! grep -qxF "at $PWD" .venv/installed; }; then
    python="$(env_python)" || return 1
    echo "Environment: .venv with $("$python" -V)"
    "$python" -m venv --clear .venv || return 1
  fi
  echo "Environment: installing prompt-streams[$env_extras] (a minute at most, once)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -e ".[$env_extras]" || return 1
  printf 'at %s\n%s %s\n' "$PWD" "$env_seal" "$env_extras" >.venv/installed
}

if ! env_has; then
  # One at a time: two commands started together must not install over each other.
  exec 9<scripts/env.sh
  if command -v flock >/dev/null; then flock 9; fi
  env_has || env_make || exit 1
  exec 9<&-
fi
