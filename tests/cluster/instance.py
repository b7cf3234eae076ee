"""One cluster from claim to removal: its number, its folder, its namespaces and its interfaces.

All processes of an instance live in namespaces of its own (processes, mounts, network) below `unshare`. When
process 1 in there ends, the kernel ends every other and undoes the mounts and interfaces, whatever state they
are in. That one ends when the pipe from here closes, and this supervisor ends

- when its standard input does, if it serves a test process: so a test run may panic or be killed at any time;
- at SIGTERM, if `up` detached it.

Before it goes it removes what is no process, mount or interface: empty cgroups and the folder. If it is killed
itself, the kernel still does its part, and the next start or `down` finds the folder unlocked and removes the
rest. The number comes from the lock on the folder, and names the interfaces and addresses, so any number of
instances may run at once.
"""

import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import node
import parts
import programs
from failure import Failure

NUMBERS = 200
SERVERS = Path(__file__).resolve().parent.parent / "servers"
DETACHED = "detached"
ENVIRONMENT = "environment"
SUPERVISOR = "supervisor"
PATIENCE = 30


def up():
    """Starts a cluster that stays, or finds it, and prints its variables."""
    require_root()
    with contextlib.suppress(Failure):
        print((of_up() / ENVIRONMENT).read_text(), end="")
        return
    programs.of_system()
    programs.find(*programs.OF_CLUSTER)
    supervisor = subprocess.Popen([SERVERS, "serve", "cluster", "--detached"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, text=True)
    try:
        said = supervisor.stdout.read()
    except KeyboardInterrupt:
        supervisor.terminate()
        supervisor.wait()
        raise
    if "KUBECONFIG" not in said:
        raise Failure("the cluster did not start: see above")
    print(said, end="")


def down():
    """Removes what `up` started and what killed supervisors left."""
    require_root()
    for state in folders():
        if (state / DETACHED).exists() and lives(state):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
                os.kill(int((state / SUPERVISOR).read_text()), signal.SIGTERM)
            wait_for(f"the supervisor of {state}", lambda: not lives(state))
    sweep()


def of_up():
    """The folder of the cluster that `up` started."""
    for state in folders():
        if (state / DETACHED).exists() and (state / ENVIRONMENT).exists() and lives(state):
            return state
    raise Failure("no cluster is up: run 'tests/servers up cluster' first")


def serve(fast, detached):
    """Starts a cluster, prints its variables, and keeps it until the owner ends."""
    require_root()
    # The interrupt of a terminal is for the owner; this one tidies up afterwards.
    if os.getpid() != os.getsid(0):
        os.setsid()
    programs.of_system()
    programs.find(*programs.OF_CLUSTER)
    sweep()
    # A signal only says so: nothing is cut off half-way.
    stop, stopped = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: os.write(stopped, b"."))
    state, lock = claim()
    try:
        (state / SUPERVISOR).write_text(str(os.getpid()))
        if detached:
            (state / DETACHED).touch()
        Instance(state, fast).keep(stop, None if detached else sys.stdin.fileno())
    finally:
        remove(state)
        os.close(lock)


class Instance:
    """The namespaces, and the pipe on which their life hangs."""

    def __init__(self, state, fast):
        self.state = state
        self.addresses = parts.Addresses(int(state.name))
        self.ip = programs.of_system()["ip"]
        inside = [str(SERVERS), "inside", str(state), *(["--fast"] if fast else [])]
        namespaces = ["--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]
        self.process = subprocess.Popen(
            [programs.of_system()["unshare"], *namespaces, "--propagation", "private", "--", *inside],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def keep(self, stop, owner):
        """Follows what process 1 says, until it or the owner ends."""
        watched = [self.process.stdout, stop, *([] if owner is None else [owner])]
        try:
            while True:
                ready, _, _ = select.select(watched, [], [])
                # An owner that writes is still there.
                if stop in ready or (owner in ready and not os.read(owner, 100)):
                    return
                if self.process.stdout in ready:
                    self.follow(detached=owner is None)
        finally:
            self.process.stdin.close()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def follow(self, detached):
        said = self.process.stdout.readline().decode()
        if said == "here\n":
            self.connect()
            self.process.stdin.write(b"go\n")
            self.process.stdin.flush()
        elif said == "ready\n":
            self.publish(detached)
        else:
            raise Failure(f"the cluster ended: {said}{self.process.stdout.read().decode()}")

    def connect(self):
        """The pair of interfaces between the machine and the namespaces."""
        ip, addresses = self.ip, self.addresses
        node.call(ip, "link", "set", addresses.inner_link, "netns", self.process.pid)
        node.call(ip, "address", "add", f"{addresses.host}/25", "dev", addresses.link)
        node.call(ip, "link", "set", addresses.link, "up")
        node.call(ip, "route", "add", addresses.pods, "via", addresses.node)

    def publish(self, detached):
        kubectl = programs.find("kubectl")["kubectl"]
        variables = f"KUBECONFIG={self.state}/kubeconfig\nKUBECTL={kubectl}\n"
        (self.state / ENVIRONMENT).write_text(variables)
        print(variables, end="", flush=True)
        if detached:
            # Who waits for the end of what `up` says must not wait for the cluster's.
            log = os.open(programs.cache() / "servers.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            for stream in (sys.stdout, sys.stderr):
                os.dup2(log, stream.fileno())


def claim():
    """A folder with a number of its own, locked as long as this process lives."""
    with alone():
        for number in range(NUMBERS):
            state = root() / str(number)
            # The interfaces may be there without the folder: an instance of another cache folder.
            if not state.exists() and make_link(parts.Addresses(number)):
                state.mkdir(mode=0o700)
                return state, try_lock(state)
    raise Failure(f"all {NUMBERS} numbers are taken below {root()}")


def make_link(addresses):
    """Whether the pair of interfaces is ours now, and its addresses are nobody's."""
    ip = programs.of_system()["ip"]
    route = [ip, "route", "show", "to", "root", addresses.network]
    if subprocess.run(route, capture_output=True, check=True).stdout:
        return False
    link = [ip, "link", "add", addresses.link, "type", "veth", "peer", "name", addresses.inner_link]
    made = subprocess.run(link, capture_output=True, text=True, check=False)
    if made.returncode and "exists" not in made.stderr:
        raise Failure(f"a pair of interfaces can't be made: {made.stderr.strip()} (this needs root with all "
                      "capabilities: a virtual machine, or a privileged container)")
    return made.returncode == 0


def sweep():
    """Removes what supervisors that were killed have left."""
    with alone():
        for state in folders():
            lock = try_lock(state)
            if lock is not None:
                remove(state)
                os.close(lock)


def remove(state):
    """What is no process: interfaces that are still there, cgroups and the folder. All of it is the number's."""
    addresses = parts.Addresses(int(state.name))
    containers = parts.containers(state)
    wait_for("the end of all containers' cgroups", lambda: remove_cgroups(containers))
    if Path("/sys/class/net", addresses.link).exists():
        # The kernel may be quicker.
        subprocess.run([programs.of_system()["ip"], "link", "delete", addresses.link],
                       stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(state)


def remove_cgroups(containers):
    """Whether none is left; one goes when its last process has."""
    left = False
    # One hierarchy, or one for each controller.
    for top in [*Path("/sys/fs/cgroup").glob("k8s.io"), *Path("/sys/fs/cgroup").glob("*/k8s.io")]:
        for cgroup in (top / container for container in containers):
            for folder, _, _ in os.walk(cgroup, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            left |= cgroup.exists()
        # Others may have theirs here.
        with contextlib.suppress(OSError):
            os.rmdir(top)
    return not left


def folders():
    """Of all instances, alive or dead."""
    return sorted(root().iterdir()) if root().exists() else []


def root():
    return programs.cache() / "servers"


@contextlib.contextmanager
def alone():
    """No other process claims, sweeps or looks at folders meanwhile."""
    root().mkdir(parents=True, exist_ok=True)
    lock = os.open(root(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def try_lock(state):
    """The lock of a folder, or None if its supervisor lives."""
    lock = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def lives(state):
    """Whether the supervisor of a folder does."""
    with alone():
        try:
            lock = try_lock(state)
        except FileNotFoundError:
            return False
        if lock is not None:
            os.close(lock)
        return lock is None


def wait_for(what, holds):
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise Failure(f"waited {PATIENCE} s for {what} in vain")
        time.sleep(0.02)


def require_root():
    if sys.platform != "linux" or os.geteuid() != 0:
        raise Failure("the cluster needs root on Linux, for the containers of its pods: run this as root (sudo "
                      "-E), or set KICKOFF_TEST_KUBECONFIG to the kubeconfig of a cluster that may be used")
