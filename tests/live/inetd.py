"""The least of an inetd: accepts on one loopback address and runs a program with the connection as its standard streams.

GNU inetutils' ftpd listens by itself on the machine's one `ftp` port only; this is how it gets another.

    inetd.py ADDRESS PORT COMMAND...
"""

import ipaddress
import signal
import socket
import subprocess
import sys


def main() -> None:
    address, port, *command = sys.argv[1:]
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the ended sessions
    with socket.create_server((address, int(port)), family=family, backlog=128) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                subprocess.Popen(command, stdin=connection, stdout=connection, stderr=connection, restore_signals=True, preexec_fn=reset)


def reset() -> None:
    """An ignored SIGCHLD is inherited; ftpd waits for the `ls` that it runs."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


if __name__ == "__main__":
    main()
