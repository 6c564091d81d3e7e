#!/bin/sh
# Makes .venv ready: `setup.sh run` for the product, `test` for its tests as well, `bench` for its peers in benchmarks too.
# Does nothing if nothing changed, and begins anew where an earlier set-up was interrupted.
set -eu

purpose=$1
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

need_python() {
    python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && return
    say "Python 3.11 or newer is needed. If it has another name: make PYTHON=python3.12 ..."
    exit 1
}

need_system_libraries() {
    command -v dpkg-query >/dev/null || return 0 # no Debian: `pilot doctor` tells what is missing
    wanted="libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core"
    if [ "$purpose" = test ]; then
        wanted="$wanted postgresql"
        # Ubuntu has chromium as a snap only; without it the tests in a browser are skipped.
        grep -q '^ID=ubuntu' /etc/os-release || wanted="$wanted chromium libatomic1" # the driver of the browser needs the second
    fi
    missing=""
    for package in $wanted; do
        status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || true
        [ "$status" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        say "System libraries are missing. Run this line as root, then repeat the command:"
        say "    apt-get update && apt-get install --yes --no-install-recommends$missing"
        exit 1
    fi
    say "Installing system libraries:$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # each word is a package
    apt-get install -qq --yes --no-install-recommends $missing >/dev/null
}

pip() { .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }

# uv is quick; pip knows the mirrors and proxies in its own settings. Without isolation: what has to be built
# is built by the locked tools.
packages() {
    UV_SYSTEM_CERTS=1 .venv/bin/uv pip install --quiet --python .venv/bin/python --no-build-isolation "$@" ||
        pip --no-build-isolation "$@"
}

install() {
    say "Setting up .venv (once; later runs start at once)"
    mkdir -p .venv
    : >.venv/.unfinished
    echo "$home" >.venv/.home
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    pip --require-hashes -r requirements/tools.txt
    [ -w "${HOME:-/nowhere}" ] || export UV_CACHE_DIR=.venv/.cache
    packages --require-hashes -r "requirements/$purpose.txt"
    packages --no-deps --editable .
    rm .venv/.unfinished
}

need_python
need_system_libraries
home="$("$python" --version) in $(pwd)" # an environment can be neither moved nor taken over by another Python
state="$home $(cat setup.cfg pyproject.toml requirements/*.txt buildsupport/*.sh buildsupport/*.py | cksum)"
case $purpose in
run) enough="bench test run" ;;
test) enough="bench test" ;;
*) enough=$purpose ;;
esac
for ready in $enough; do
    if [ "$(cat ".venv/.ready-for-$ready" 2>/dev/null)" = "$state" ]; then exit; fi
done
if [ -e .venv/.unfinished ] || [ "$(cat .venv/.home 2>/dev/null || echo "$home")" != "$home" ]; then rm -rf .venv; fi
install
echo "$state" >".venv/.ready-for-$purpose"
