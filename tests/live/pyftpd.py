"""pyftpdlib with one account, as a program.

pyftpd.py ADDRESS PORT UID GID USER PASSWORD-FILE HOME
"""

import _strptime  # noqa: F401 - imported at the first MFMT otherwise, when the account may not read Python's library
import logging
import os
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.log import config_logging
from pyftpdlib.servers import ThreadedFTPServer


def main() -> None:
    address, port, uid, gid, user, password_file, home = sys.argv[1:]
    with open(password_file, encoding="ascii") as file:
        password = file.read()
    config_logging(level=logging.DEBUG)
    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, home, perm="elradfmwMT")
    FTPHandler.authorizer = authorizer
    FTPHandler.auth_failed_timeout = 0.1
    # A loop for each session: in a common one, sessions in active mode unregister each other's sockets and stall.
    server = ThreadedFTPServer((address, int(port)), FTPHandler)
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
    server.serve_forever()


if __name__ == "__main__":
    main()
