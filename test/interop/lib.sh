# Sourced by the scripts of this folder: a folder of their own, a server, and one line at the end.
#   source "$(dirname "$0")/lib.sh"
# Every script takes --dmnbd PATH (default: the release build of this tree) and --quick (shorter, if
# it can be).
# shellcheck shell=bash disable=SC2034 # Variables here are for the scripts.
set -uo pipefail
PATH=/usr/bin:/bin:/usr/sbin:/sbin:$PATH # Debian's python has the nbd module.
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$(dirname "$here")")
name=$(basename "$0")
dmnbd=$root/build/release/dmnbd
quick=false
while [ $# -gt 0 ]; do
    case $1 in
    --dmnbd) dmnbd=$(readlink -f "${2:?--dmnbd needs a path}") && shift 2 ;;
    --quick) quick=true && shift ;;
    *) echo "usage: $0 [--dmnbd PATH] [--quick]" >&2 && exit 2 ;;
    esac
done

work=$(mktemp -d)
export DMNBD_CONTROL=$work/control.sock
finish() {
    # shellcheck disable=SC2046 # Words are wanted. Only our own children are in the list.
    if [ -n "$(jobs -p)" ]; then
        kill $(jobs -p) 2>/dev/null
        sleep 0.5
        kill -9 $(jobs -p) 2>/dev/null
    fi
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
cd "$work" || exit 1

ok() { echo "ok $name: $*"; exit 0; }
fail() {
    echo "FAIL $name: $*"
    [ ! -s "$work/server.log" ] || sed 's/^/  server: /' "$work/server.log" | tail -n 20
    [ ! -s "$work/out" ] || sed 's/^/  /' "$work/out" | tail -n 20
    exit 1
}

await() { # await SECONDS command...: until the command is true
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

# start COMMAND...: starts a server, waits until it is ready; sets server (its pid) and uri.
start() {
    "$@" >server.log 2>&1 &
    server=$!
    await 20 server_is_up || fail "not ready after 20 s: $*"
    grep -q '^ready$' server.log || fail "does not start: $*"
    uri=$(sed -n 's|^ *\(nbd[^ ]*\) .*|\1|p' server.log | head -n 1)
}
server_is_up() { grep -q '^ready$' server.log || ! kill -0 "$server" 2>/dev/null; }

stop() { # SIGTERM, and the server must end well.
    local status
    kill "$server"
    wait "$server"
    status=$?
    [ $status = 0 ] || fail "the server ended with status $status after SIGTERM"
}

# counter EXPRESSION: its value, where d is what `info --json` says, by name of the device.
counter() {
    "$dmnbd" info --json | python3 -c '
import json, sys
d = {each["name"]: each for each in json.load(sys.stdin)}
print(eval(sys.argv[1]))' "$1"
}
