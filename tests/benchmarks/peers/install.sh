#!/bin/sh
# Makes .venv-peers from requirements.txt beside this file, apart from .venv. Does nothing when it is up to date,
# or when LEADSAGA_PEERS_PYTHON names an interpreter that has the packages. To be run after the bootstrap.
set -eu
cd "$(dirname "$0")/../../.."

[ -z "${LEADSAGA_PEERS_PYTHON:-}" ] || exit 0
venv=.venv-peers
packages=tests/benchmarks/peers/requirements.txt
tools=.venv/.uv/bin
wanted=$(cat "$packages" "$0" | sha256sum)
if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH

echo "bench-peers: installing the peers into $venv"
rm -rf "$venv"
.venv/bin/python -m venv --without-pip "$venv"
# uv does not read pip's configuration files, which may be the only place where a mirror is named.
"$tools/uv" pip install --quiet --python "$venv/bin/python" -r "$packages" 2>/dev/null ||
    "$tools/pip" --disable-pip-version-check --quiet --python "$venv/bin/python" install -r "$packages"
echo "$wanted" >"$venv/.stamp"
