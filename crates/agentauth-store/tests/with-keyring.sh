#!/bin/sh
# with-keyring.sh CMD...: runs CMD on a private session bus with a private, unlocked gnome-keyring, and exits as CMD does.
#
# CMD sees AGENTAUTHD_TEST_KEYRING=1 (a missing keyring is a failure, not a reason to skip) and
# AGENTAUTHD_TEST_KEYRING_DIR, the private place. HOME and the rest of CMD's environment stay as they are. Bus, keyring
# and files are gone afterwards, also after a signal. Any user may run it, several times at once, also inside itself.
set -eu

if [ "$#" -eq 0 ]; then
    echo "usage: with-keyring.sh CMD [ARGUMENT...]" >&2
    exit 64
fi
for tool in dbus-run-session gnome-keyring-daemon busctl; do
    if ! command -v "$tool" >/dev/null; then
        echo "with-keyring.sh: \`$tool\` is missing (Debian: dbus gnome-keyring systemd)" >&2
        exit 69
    fi
done

W=$(mktemp -d "${TMPDIR:-/tmp}/with-keyring.XXXXXX")
trap 'rm -rf "$W"' EXIT
mkdir -m 700 "$W/home" "$W/run" "$W/data"

# The inner shell, on the bus. `owner` names the keyring that the bus knows: CMD may have replaced the first one.
cat >"$W/inner.sh" <<'INNER'
set -eu
owner() { busctl --user status org.freedesktop.secrets 2>/dev/null | sed -n s/^PID=//p; }
first='' cmd='' code=0
trap 'for pid in $(owner) $first; do kill "$pid" 2>/dev/null || :; done' EXIT
trap 'code=143; [ -z "$cmd" ] || kill "$cmd" 2>/dev/null || :' HUP INT TERM

printf %s test-password | gnome-keyring-daemon --unlock --components=secrets >"$W/log" 2>&1
tries=0
until first=$(owner) && [ -n "$first" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 1500 ]; then
        echo "with-keyring.sh: no keyring appeared on the bus within 30 s" >&2
        cat "$W/log" >&2
        exit 69
    fi
    sleep 0.02
done
locked=$(busctl --user get-property org.freedesktop.secrets /org/freedesktop/secrets/collection/login \
    org.freedesktop.Secret.Collection Locked)
if [ "$locked" != "b false" ]; then
    echo "with-keyring.sh: the keyring is there but locked" >&2
    cat "$W/log" >&2
    exit 69
fi

restore() { if [ -n "$2" ]; then export "$1=$2"; else unset "$1"; fi; }
(
    trap - EXIT HUP INT TERM
    export AGENTAUTHD_TEST_KEYRING=1 AGENTAUTHD_TEST_KEYRING_DIR="$W"
    restore HOME "$OUTER_HOME"
    restore XDG_RUNTIME_DIR "$OUTER_RUNTIME"
    restore XDG_DATA_HOME "$OUTER_DATA"
    unset OUTER_HOME OUTER_RUNTIME OUTER_DATA W
    exec "$@" 3<&-
) <&3 &
cmd=$!
# A signal ends a wait early; the command's own end is what counts.
ended=0
wait "$cmd" || ended=$?
while kill -0 "$cmd" 2>/dev/null; do
    ended=0
    wait "$cmd" || ended=$?
done
[ "$code" -ne 0 ] || code=$ended
exit "$code"
INNER

# Nothing may prompt, and nothing of an outer session may be reached. The bus starts services by itself, with its own
# HOME: so the bus has the private one, and CMD the caller's again.
unset DISPLAY WAYLAND_DISPLAY DBUS_SESSION_BUS_ADDRESS DBUS_STARTER_ADDRESS GNOME_KEYRING_CONTROL SSH_AUTH_SOCK
OUTER_HOME=${HOME-} OUTER_RUNTIME=${XDG_RUNTIME_DIR-} OUTER_DATA=${XDG_DATA_HOME-}
HOME="$W/home" XDG_RUNTIME_DIR="$W/run" XDG_DATA_HOME="$W/data"
export W OUTER_HOME OUTER_RUNTIME OUTER_DATA HOME XDG_RUNTIME_DIR XDG_DATA_HOME

# In the background, since a shell hears signals while it waits but not while a command runs in front of it; with our
# standard input, which background commands are not given.
exec 3<&0
inner() { sed -n 1p "$W/pid" 2>/dev/null; }
trap 'kill "$(inner)" 2>/dev/null || :' HUP INT TERM
dbus-run-session -- sh -c 'echo $$ >"$W/pid"; exec sh "$W/inner.sh" "$@"' with-keyring "$@" &
session=$!
status=0
wait "$session" || status=$?
while kill -0 "$session" 2>/dev/null; do
    status=0
    wait "$session" || status=$?
done
exit "$status"
