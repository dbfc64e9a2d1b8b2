#!/usr/bin/env bash
# Boots a system over this machine's own files (systemd as the first process, logind, D-Bus, its own network), runs a
# command in it as root, and prints what that wrote. Everything that it changes is gone afterwards. As root.
#
#   boot.sh SECONDS DIRECTORY... -- COMMAND...     DIRECTORY: seen inside, read-only
#
# Exits as the command does, or with 125 where the system did not come up; then its log is on standard error.
set -euo pipefail
if [ "${BOOT_PRIVATE:-}" != 1 ]; then
    BOOT_PRIVATE=1 exec unshare --mount --propagation private bash "$0" "$@"
fi
patience=$1; shift
binds=()
while [ "$1" != -- ]; do binds+=("--bind-ro=$1"); shift; done
shift

own=$(mktemp -d)
# Seen by nobody outside, and gone with the last process that is in here.
mount -t tmpfs tmpfs "$own"
mkdir "$own/upper" "$own/work" "$own/root"
root=$own/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$own/upper,workdir=$own/work" "$root" || exit 125

units=$root/etc/systemd/system
find "$units" -name '*.wants' -type d -exec rm -rf {} +
for unit in systemd-tmpfiles-setup.service systemd-tmpfiles-clean.timer systemd-resolved.service \
    systemd-networkd.service apt-daily.timer apt-daily-upgrade.timer; do
    ln -sf /dev/null "$units/$unit"
done
mkdir -p "$root/booted"
{
    printf '#!/bin/bash\ntouch /booted/began\nexec'
    printf ' %q' "$@"
    printf '\n'
} > "$root/booted/run"
cat > "$units/booted.service" <<UNIT
[Unit]
After=multi-user.target dbus.service systemd-logind.service
Wants=dbus.socket systemd-logind.service
[Service]
StandardOutput=append:/booted/out
StandardError=append:/booted/err
ExecStart=/bin/bash -c 'while [ "\$(systemctl is-system-running)" = starting ]; do sleep 0.05; done; bash /booted/run; echo \$? > /booted/code'
ExecStopPost=/bin/systemctl poweroff --no-block
UNIT
printf '[Unit]\nRequires=multi-user.target\nWants=booted.service\nAfter=multi-user.target\nAllowIsolate=yes\n' \
    > "$units/booted.target"

# Without the container's filter of system calls: in there it is to be as on a machine of its own.
SYSTEMD_SECCOMP=0 timeout "$patience" systemd-nspawn -q -D "$root" --boot --register=no --keep-unit --link-journal=no --console=pipe \
    --private-network "${binds[@]}" -M "booted$$" -- --unit=booted.target --log-target=journal \
    > "$own/log" 2>&1 < /dev/null || true
cat "$root/booted/out" 2> /dev/null || true
cat "$root/booted/err" >&2 2> /dev/null || true
if [ ! -e "$root/booted/began" ]; then
    cat "$own/log" >&2
    exit 125
fi
exit "$(cat "$root/booted/code" 2> /dev/null || echo 124)"
