"""pyftpdlib with one account, as a program.

pyftpd.py ADDRESS PORT UID GID USER PASSWORD-FILE HOME CERTIFICATE-AND-KEY explicit|implicit
"""

import _strptime  # noqa: F401 - imported at the first MFMT otherwise, when the account may not read Python's library
import logging
import os
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import TLS_FTPHandler
from pyftpdlib.log import config_logging
from pyftpdlib.servers import ThreadedFTPServer


class ImplicitTlsHandler(TLS_FTPHandler):
    """TLS before the greeting, which pyftpdlib has no setting for."""

    def handle(self):
        self.secure_connection(self.ssl_context)

    def handle_ssl_established(self):
        # It greets there.
        super().handle()


def main() -> None:
    address, port, uid, gid, user, password_file, home, certificate, tls = sys.argv[1:]
    with open(password_file, encoding="ascii") as file:
        password = file.read()
    config_logging(level=logging.DEBUG)
    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, home, perm="elradfmwMT")
    handler = ImplicitTlsHandler if tls == "implicit" else TLS_FTPHandler
    handler.authorizer = authorizer
    handler.auth_failed_timeout = 0.1
    handler.certfile = certificate
    # Read now: the account that it runs as may not.
    handler.ssl_context = handler.get_ssl_context()
    # A loop for each session: in a common one, sessions in active mode unregister each other's sockets and stall.
    server = ThreadedFTPServer((address, int(port)), handler)
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
    server.serve_forever()


if __name__ == "__main__":
    main()
