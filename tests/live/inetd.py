"""The least of an inetd: accepts on one address and runs a program with the connection as its standard streams.

GNU inetutils' ftpd listens by itself on the machine's one `ftp` port only; this is how it gets another.

    inetd.py ADDRESS PORT COMMAND...
"""

import ipaddress
import socket
import subprocess
import sys


def main() -> None:
    address, port, *command = sys.argv[1:]
    family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
    with socket.create_server((address, int(port)), family=family, backlog=128) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                # Popen itself reaps the sessions that have ended since the last one began.
                subprocess.Popen(command, stdin=connection, stdout=connection, stderr=connection)


if __name__ == "__main__":
    main()
