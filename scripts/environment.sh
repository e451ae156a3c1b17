# Sourced by scripts/pylibos and scripts/test: finds (or has made) the private Python environment of this checkout.
#
# use_environment KIND sets: root state site extra prefix build. It must cost next to nothing when everything is in place, so the ready
# case uses shell built-ins only; everything else is scripts/make_environment.py. KIND is run or test. Candidates, in order: .venv in the
# checkout; the user's cache directory; a private directory in /tmp. The latter two must belong to the user who runs this.

fail() {
    printf 'pylibos: %s\n' "$1" >&2
    exit 125
}

# From $script, a path of a program in scripts/ that is no symbolic link.
find_root() {
    case $script in
    ./*) script=$PWD/${script#./} ;;
    /*) ;;
    *) script=$PWD/$script ;;
    esac
    case $script in
    */./* | */../* | *//*) root=$(cd "${script%/*}/.." && pwd) || exit 125 ;;
    *) root=${script%/*/*} ;;
    esac
}

# A stamp is good while nothing it was made from is newer. It is written last, so a half-made environment has none.
is_ready() {
    stamp=$1/pylibos-$kind.ready
    [ -f "$stamp" ] && [ -x "$1/bin/python" ] || return 1
    for source in "$root/pyproject.toml" "$root/scripts/make_environment.py" "$root"/c_shim/*.*; do
        [ "$source" -nt "$stamp" ] && return 1
    done
    state=$1
    { read -r site && read -r extra && read -r prefix && read -r build; } <"$stamp"
}

is_private() {
    [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]
}

find_ready() {
    is_ready "$root/.venv" && return 0
    cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
    if [ -n "$cache" ] && is_private "$cache/pylibos"; then
        is_ready "$cache/pylibos$root/+environment" && return 0
    fi
    set -- /tmp/pylibos-*
    [ -e "$1" ] || return 1
    private=/tmp/pylibos-$(id -u)
    is_private "$private" && is_ready "$private$root/+environment"
}

# The first interpreter that has all it takes; failing that the first that is new enough (make_environment.py then says what it lacks).
find_python() {
    usable='import sys; assert sys.version_info >= (3, 11)'
    complete=$usable'; import ensurepip, venv, sysconfig, os; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")'
    for wanted in "$complete" "$usable"; do
        for python in ${PYLIBOS_PYTHON:+"$PYLIBOS_PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 /usr/local/bin/python3 /usr/bin/python3; do
            command -v "$python" >/dev/null 2>&1 && "$python" -I -c "$wanted" >/dev/null 2>&1 && return 0
        done
    done
    fail 'no Python 3.11 or newer that you may execute: install python3 (apt-get install python3 python3-venv python3-dev) or set PYLIBOS_PYTHON'
}

use_environment() {
    kind=$1
    find_ready && return 0
    find_python
    state=$("$python" -I "$root/scripts/make_environment.py" --root "$root" --kind "$kind") || exit 125
    is_ready "$state" || fail "the environment in $state changed while it was being made; run the command again"
}
