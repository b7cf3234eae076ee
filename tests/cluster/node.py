"""What runs inside an instance's namespaces, as their process 1: it starts the parts and watches them.

It ends when its standard input does, and with it ends, by the kernel, every process of the instance (shims and
containers too), and go its mounts and interfaces. So there is nothing to tidy up here, and no way to die that
leaves something. A part that ends without having been told to ends the instance: tests that go on against a
cluster that lacks a part would only tell riddles.
"""

import json
import os
import re
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import images
import parts
import programs
from failure import Failure

PATIENCE = 120


def run(state, fast):
    """Starts everything, says `ready`, and serves commands until standard input ends."""
    try:
        Node(Path(state), fast).run()
    except Failure as failure:
        print(f"failed: {failure}", flush=True)
        sys.exit(1)


def tell(state, *command):
    """Sends a command to the instance of this folder and gives its answer."""
    try:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(state / "control"))
            stream.sendall(" ".join(command).encode() + b"\n")
            stream.shutdown(socket.SHUT_WR)
            answer = stream.makefile().read()
    except OSError as error:
        raise Failure(f"the cluster in {state} does not answer: {error}") from error
    if not answer.startswith("ok"):
        raise Failure(answer.strip() or "the cluster ended")
    return answer.strip()


class Node:
    """The parts that run, and the commands that they ran by."""

    def __init__(self, state, fast):
        self.state = state
        self.number = int(state.name)
        self.addresses = parts.Addresses(self.number)
        self.programs = {**programs.of_system(), **programs.find(*programs.OF_CLUSTER)}
        self.tokens = parts.configure(state, self.addresses, self.programs)
        self.commands = parts.commands(state, self.addresses, self.programs, fast)
        self.running = {}
        self.unread = ""

    def run(self):
        os.set_blocking(sys.stdin.fileno(), False)
        self.mounts()
        print("here", flush=True)
        self.until("the network", self.told_to_go_on)
        self.network()
        self.start_all()
        with socket.socket(socket.AF_UNIX) as control:
            control.bind(str(self.state / "control"))
            control.listen()
            print("ready", flush=True)
            self.serve(control)

    def mounts(self):
        """What containerd, kubelet and the network plugins write outside of their own folders."""
        call(self.programs["mount"], "--make-rshared", "/")
        call(self.programs["mount"], "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
        for folder in ("/var/lib", "/var/log"):
            upper, work = (self.state / "over" / (kind + folder) for kind in ("upper", "work"))
            upper.mkdir(parents=True)
            work.mkdir(parents=True)
            options = f"lowerdir={folder},upperdir={upper},workdir={work}"
            call(self.programs["mount"], "-t", "overlay", "-o", options, "overlay", folder)

    def network(self):
        ip, addresses = self.programs["ip"], self.addresses
        call(ip, "link", "set", "lo", "up")
        call(ip, "address", "add", f"{parts.API_SERVICE}/32", "dev", "lo")
        call(ip, "address", "add", f"{addresses.node}/25", "dev", addresses.inner_link)
        call(ip, "link", "set", addresses.inner_link, "up")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def start_all(self):
        self.start("etcd")
        self.start("containerd")
        self.start("kube-apiserver")
        containerd = self.state / "containerd.sock"
        self.until("containerd", containerd.exists)
        for made in (images.busybox, images.sandbox):
            archive = made(self.state / "image.tar", self.programs["busybox"])
            self.until(f"the import of {archive}", lambda: self.import_image(archive, check=False))
            archive.unlink()
        authority = self.state / "certificates/apiserver.crt"
        self.until("the server's certificate", authority.exists)
        self.until("kube-apiserver", lambda: self.get("/readyz") == "ok")
        for name, who in (("kubeconfig", "admin"), ("kubeconfig.node", "node")):
            config = parts.kubeconfig(self.addresses, self.tokens[who], authority.read_bytes())
            with open(os.open(self.state / name, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
                file.write(config)
        for part in ("kube-controller-manager", "kube-scheduler", "kubelet"):
            self.start(part)
        self.until("the node to be ready", self.node_is_ready)
        self.until("the default service account",
                   lambda: self.get("/api/v1/namespaces/default/serviceaccounts/default"))

    def node_is_ready(self):
        node = json.loads(self.get(f"/api/v1/nodes/{parts.NODE}") or "{}")
        conditions = node.get("status", {}).get("conditions", [])
        taints = node.get("spec", {}).get("taints")
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
        return ready and not taints

    def get(self, path):
        """What the API server answers; nothing, as long as it can't."""
        url = f"https://{self.addresses.node}:{parts.PORT}{path}"
        request = urllib.request.Request(url, headers={"Authorization": "Bearer " + self.tokens["admin"]})
        trust = ssl.create_default_context(cafile=str(self.state / "certificates/apiserver.crt"))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
        try:
            with opener.open(request, timeout=5) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError):
            return None

    def until(self, what, holds):
        end = time.monotonic() + PATIENCE
        while not holds():
            self.check()
            if time.monotonic() > end:
                raise Failure(f"waited {PATIENCE} s for {what} in vain\n{self.tails()}")
            time.sleep(0.05)

    def start(self, part):
        if part in self.running:
            raise Failure(f"{part} runs already")
        with open(self.state / "log" / f"{part}.log", "ab") as log:
            command = [str(word) for word in self.commands[part]]
            self.running[part] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                  env=self.environment())

    def environment(self):
        path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        return {"PATH": path, "HOME": str(self.state)}

    def serve(self, control):
        with selectors.DefaultSelector() as selector:
            selector.register(sys.stdin, selectors.EVENT_READ)
            selector.register(control, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(timeout=0.2):
                    if key.fileobj is control:
                        self.answer(control)
                self.check()

    def answer(self, control):
        stream, _ = control.accept()
        with stream, stream.makefile("rw") as file:
            stream.settimeout(PATIENCE)
            try:
                words = file.readline().split()
                self.obey(*words)
                file.write("ok\n")
            except Failure as failure:
                file.write(f"{failure}\n")
            except (OSError, TypeError, ValueError) as error:
                file.write(f"{' '.join(words)} can't be done: {error}\n")

    def obey(self, verb="", *words):
        verbs = {
            "kill": self.kill,
            "start": self.start,
            "freeze": lambda part: self.part(part).send_signal(signal.SIGSTOP),
            "thaw": lambda part: self.part(part).send_signal(signal.SIGCONT),
            "fake-nodes": self.fake_nodes,
            "compact": self.compact,
            "import": self.import_image,
        }
        if verb not in verbs:
            raise Failure(f"{verb!r} is no command; there are: {', '.join(verbs)}")
        verbs[verb](*words)

    def part(self, name):
        if name not in self.running:
            raise Failure(f"{name!r} does not run; there are: {', '.join(self.running)}")
        return self.running[name]

    def kill(self, name):
        self.part(name).kill()
        self.running.pop(name).wait()

    def import_image(self, archive, check=True):
        command = [self.programs["ctr"], "--address", self.state / "containerd.sock", "--namespace", "k8s.io",
                   "images", "import", archive]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and check:
            raise Failure(f"{archive} can't be imported: {done.stderr.strip()}")
        return done.returncode == 0

    def compact(self):
        """Has etcd forget all but the newest state: a watch from before can't be taken up."""
        newest = self.etcd("range", {"key": "AA=="})["header"]["revision"]
        self.etcd("compaction", {"revision": newest, "physical": True})

    @staticmethod
    def etcd(verb, request):
        url = f"http://127.0.0.1:2379/v3/kv/{verb}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, json.dumps(request).encode(), timeout=PATIENCE) as answer:
            return json.load(answer)

    def fake_nodes(self, count):
        if "kwok" not in self.running:
            self.commands["kwok"] = parts.fake_nodes_command(self.state, self.programs)
            self.start("kwok")
        nodes = {"apiVersion": "v1", "kind": "List", "items": [parts.fake_node(n) for n in range(int(count))]}
        command = [self.programs["kubectl"], f"--kubeconfig={self.state}/kubeconfig", "apply", "-f", "-"]
        done = subprocess.run(command, input=json.dumps(nodes), capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"the nodes can't be created: {done.stderr.strip()}")

    def told_to_go_on(self):
        return "go" in self.unread

    def check(self):
        """Ends if the owner has; takes leave of what has ended; raises if a part has."""
        while True:
            try:
                read = os.read(sys.stdin.fileno(), 100)
            except BlockingIOError:
                break
            if not read:
                # Process 1 ends, and so do all.
                os._exit(0)
            self.unread += read.decode()
        while ended := self.ended():
            for name, part in self.running.items():
                if part.pid == ended and part.poll() is not None:
                    raise Failure(f"{name} ended by itself ({part.returncode})\n{self.tails(name)}")
            os.waitpid(ended, 0)

    @staticmethod
    def ended():
        """A child that has ended, ours or an orphan of a part's, not yet taken leave of."""
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        return found.si_pid if found else None

    def tails(self, *names):
        """The ends of parts' logs; the folder with all of them is about to go."""
        told = []
        for name in names or self.commands:
            log = self.state / "log" / f"{name}.log"
            if log.exists():
                lines = log.read_text(errors="replace").splitlines()
                # Warnings and worse, if it writes in the way of klog, else all.
                bad = [line for line in lines if re.match(r"[WEF]\d{4} ", line)] or lines
                told += [f"{name}: {line}" for line in bad[-8:]]
        return "\n".join(told)


def call(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"'{' '.join(map(str, command))}' failed: {done.stderr.strip()}")
