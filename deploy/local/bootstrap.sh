#!/bin/sh
# Makes .venv from requirements.lock with nothing but Python 3.11 or newer. Does nothing when it is up to date.
#
# Where packages come from is the business of this machine's own pip and uv configuration: no index is named here.
# uv lives in an environment of its own inside .venv, because syncing removes whatever the lock does not list.
set -eu
cd "$(dirname "$0")/../.."

venv=.venv
tools=$venv/.uv
stamp=$venv/.leadsaga-stamp
wanted=$(cat requirements.lock pyproject.toml deploy/local/bootstrap.sh | sha256sum)

if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH

say() { echo "bootstrap: $*"; }

fail() {
    echo "bootstrap: $*" >&2
    exit 1
}

# Runs a command without its output; shows the end of it if the command fails.
quietly() {
    log=$(mktemp)
    if "$@" >"$log" 2>&1 </dev/null; then
        rm -f "$log"
    else
        status=$?
        tail -n 15 "$log" >&2
        rm -f "$log"
        return $status
    fi
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$candidate" >/dev/null && is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed and was not found on PATH"
}

# Debian and Ubuntu ship Python without the part that makes virtual environments.
can_make_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }

ensure_venv_module() {
    can_make_venv && return
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing $package from the distribution's packages"
        export DEBIAN_FRONTEND=noninteractive
        quietly apt-get update -q || say "apt-get update failed; trying with the package lists at hand"
        quietly apt-get install -y -q --no-install-recommends "$package" || fail "$package could not be installed"
    fi
    can_make_venv || fail "$python cannot make virtual environments (no ensurepip). Ways out, any one of them:
  - install $package as root: apt-get install $package
  - run make as root once
  - put another Python 3.11 or newer first on PATH"
}

make_environments() {
    python=$(find_python)
    if ! is_new_enough "$venv/bin/python"; then
        ensure_venv_module
        say "creating $venv with $("$python" --version)"
        rm -rf "$venv"
        quietly "$python" -m venv --without-pip "$venv"
    fi
    if ! "$tools/bin/pip" --version >/dev/null 2>&1; then
        ensure_venv_module
        rm -rf "$tools"
        quietly "$python" -m venv "$tools"
    fi
    if ! "$tools/bin/uv" --version >/dev/null 2>&1; then
        say "installing uv"
        quietly "$tools/bin/pip" install --disable-pip-version-check uv || say "uv cannot be had; using pip instead"
    fi
}

with_uv() { quietly "$tools/bin/uv" "$@" --python "$venv/bin/python"; }
with_pip() { quietly "$tools/bin/pip" --disable-pip-version-check --python "$venv/bin/python" "$@"; }

install_locked() {
    say "installing $(grep -c '^[a-z0-9].*==' requirements.lock) packages from requirements.lock"
    with_uv pip sync --require-hashes requirements.lock && return
    # uv does not read pip's configuration files, which may be the only place where a mirror is named.
    say "uv could not install them; trying pip with its own configuration"
    with_pip install --require-hashes -r requirements.lock || fail "the packages of requirements.lock could not be installed"
}

install_project() {
    say "installing this project (editable)"
    with_uv pip install --no-deps --no-build-isolation --editable . && return
    # The build backend is among the locked packages, so the build has to see that environment.
    PATH="$PWD/$venv/bin:$PATH" with_pip install --no-deps --no-build-isolation --editable . ||
        fail "the project itself could not be installed"
}

make_environments
rm -f "$stamp"
install_locked
install_project
echo "$wanted" >"$stamp"
