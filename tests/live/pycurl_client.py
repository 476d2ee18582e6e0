"""libcurl as a program: reads a list of transfers as JSON and makes them one after the other with one handle.

A transfer maps names of options to their values, `upload` and `download` to local files; what is downloaded without one is
written to standard output, with all that is said on the control connection.
"""

from __future__ import annotations

import json
import sys

import pycurl

_SAID = {pycurl.INFOTYPE_HEADER_IN: b"< ", pycurl.INFOTYPE_HEADER_OUT: b"> ", pycurl.INFOTYPE_TEXT: b"* "}


def record(kind: int, text: bytes) -> None:
    if kind in _SAID:
        sys.stdout.buffer.write(_SAID[kind] + text)


def transfer(handle: pycurl.Curl, options: dict[str, str | int]) -> None:
    handle.reset()
    handle.setopt(pycurl.VERBOSE, 1)
    handle.setopt(pycurl.DEBUGFUNCTION, record)
    upload, download = options.pop("upload", None), options.pop("download", None)
    for name, value in options.items():
        value = getattr(pycurl, value) if name in ("USE_SSL", "SSLVERSION") else value
        handle.setopt(getattr(pycurl, name), value)
    if upload:
        with open(upload, "rb") as source:
            handle.setopt(pycurl.UPLOAD, 1)
            handle.setopt(pycurl.READDATA, source)
            # A resumption begins there. What the function returns would be taken for an error.
            handle.setopt(pycurl.SEEKFUNCTION, lambda offset, origin: source.seek(offset, origin) and None)
            handle.perform()
    elif download:
        with open(download, "ab" if "RESUME_FROM" in options else "wb") as target:
            handle.setopt(pycurl.WRITEDATA, target)
            handle.perform()
    else:
        handle.setopt(pycurl.WRITEFUNCTION, sys.stdout.buffer.write)
        handle.perform()


def main() -> int:
    if sys.argv[1:] == ["--version"]:
        print(pycurl.version)
        return 0
    handle = pycurl.Curl()
    try:
        for options in json.load(sys.stdin):
            transfer(handle, options)
    except pycurl.error as error:
        print(f"curl: ({error.args[0]}) {error.args[1]}")
        return 1
    finally:
        handle.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
