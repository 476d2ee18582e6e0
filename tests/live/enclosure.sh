#!/bin/sh
# Runs a server in a mount namespace of its own, where it finds the accounts, PAM services and log socket of the test
# and none of the machine's. Nothing is left behind when the namespace's last process is gone.
#
#   unshare --mount enclosure.sh FOLDER COMMAND...
#
# FOLDER holds `etc/` (files and folders laid over the machine's /etc, those that exist there) and `log`, the socket
# that the server's syslog(3) shall reach.
set -eu
folder=$1
shift

mount --bind "$folder/etc/passwd" /etc/passwd
mount --bind "$folder/etc/group" /etc/group
mount --bind "$folder/etc/shadow" /etc/shadow
mount --bind "$folder/etc/pam.d" /etc/pam.d

# /dev/log exists on no machine for sure, and a file cannot be laid over nothing: the whole of /dev is a new one.
mount -t tmpfs -o mode=755 none "$folder/dev"
for device in null zero full random urandom tty; do
  : >"$folder/dev/$device"
  mount --bind "/dev/$device" "$folder/dev/$device"
done
ln -s /proc/self/fd "$folder/dev/fd"
ln -s "$folder/log" "$folder/dev/log"
mount --move "$folder/dev" /dev

# Not exec: the shell stays as the first process of the process namespace and takes in orphans, which vsftpd does not bear.
"$@"
