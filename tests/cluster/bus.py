"""A NATS server with JetStream for a person to try things on. It stays until `down`, as does what it holds."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import programs
from failure import Failure

PATIENCE = 10


def up():
    """Starts the server, or finds it, and prints where it listens."""
    url = address()
    if url is None:
        down()
        start()
        url = wait_for(address, "nats-server does not listen: see " + str(folder() / "log"))
    print(f"NATS_URL={url}")


def down():
    """Ends the server that `up` started, and removes what it held."""
    pid = running()
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: running() is None, "nats-server does not end")
    shutil.rmtree(folder(), ignore_errors=True)


def start():
    program = programs.find("nats-server")["nats-server"]
    folder().mkdir(parents=True, mode=0o700)
    # What it confirmed is on disk: without this a crash of the machine loses up to two minutes.
    (folder() / "nats.conf").write_text(
        f'listen: "127.0.0.1:-1"\nports_file_dir: "{folder()}"\n'
        f'jetstream {{ store_dir: "{folder() / "store"}", sync_interval: always }}\n')
    with open(folder() / "log", "w", encoding="utf-8") as log:
        server = subprocess.Popen([program, "-c", folder() / "nats.conf"], stdin=subprocess.DEVNULL,
                                  stdout=log, stderr=log, start_new_session=True)
    (folder() / "pid").write_text(str(server.pid))


def address():
    """Where the server listens, or None."""
    pid = running()
    ports = folder() / f"nats-server_{pid}.ports"
    try:
        return json.loads(ports.read_text())["nats"][0]
    except (OSError, ValueError, KeyError, IndexError):
        return None


def running():
    """The server's process, or None: a number that another process has by now is not ours."""
    try:
        pid = int((folder() / "pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if str(folder() / "nats.conf").encode() in command else None


def folder():
    return programs.cache() / "nats"


def wait_for(holds, complaint):
    end = time.monotonic() + PATIENCE
    while not (found := holds()):
        if time.monotonic() > end:
            raise Failure(complaint)
        time.sleep(0.02)
    return found
