"""Where the programs of the cluster come from.

etcd, kube-apiserver and kubectl are those of `KUBEBUILDER_ASSETS` if it is set (`setup-envtest` fills such a
folder). All others are built once from the Go module in this folder and kept outside the tree, in a folder
named after the module's contents; each appears there by a rename, so a build that was killed leaves none that
is half there. What real pods need besides comes from the system's packages.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from failure import Failure

MODULE = Path(__file__).resolve().parent
KUBERNETES = "k8s.io/kubernetes"
# Program, its package, and what the build calls it.
BUILT = {
    "etcd": ("go.etcd.io/etcd/server/v3", "server"),
    "kube-apiserver": (f"{KUBERNETES}/cmd/kube-apiserver", "kube-apiserver"),
    "kube-controller-manager": (f"{KUBERNETES}/cmd/kube-controller-manager", "kube-controller-manager"),
    "kube-scheduler": (f"{KUBERNETES}/cmd/kube-scheduler", "kube-scheduler"),
    "kubelet": (f"{KUBERNETES}/cmd/kubelet", "kubelet"),
    "kubectl": (f"{KUBERNETES}/cmd/kubectl", "kubectl"),
    "kwok": ("sigs.k8s.io/kwok/cmd/kwok", "kwok"),
    "nats-server": ("github.com/nats-io/nats-server/v2", "nats-server"),
}
OF_ENVTEST = ("etcd", "kube-apiserver", "kubectl")
OF_CLUSTER = tuple(name for name in BUILT if name != "nats-server")
# Program of the system, and the Debian package that has it.
PACKAGED = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "/usr/lib/cni/loopback": "containernetworking-plugins",
    "/usr/lib/cni/host-local": "containernetworking-plugins",
    "busybox": "busybox-static",
}


def cache():
    """The folder of everything that tests keep between runs."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(home) / "kickoff-tests"


def built():
    """The folder of the programs that are built from this module."""
    content = b"".join((MODULE / name).read_bytes() for name in ("go.mod", "go.sum"))
    return cache() / "cluster" / hashlib.sha256(content).hexdigest()[:16]


def find(*names):
    """The paths of programs of the module, which are built if they are missing."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    found = {}
    for name in names:
        of_assets = assets and name in OF_ENVTEST
        found[name] = (Path(assets) if of_assets else built()) / name
        if of_assets and not os.access(found[name], os.X_OK):
            raise Failure(f"KUBEBUILDER_ASSETS is {assets}, but {name} is not in it: fill it with "
                          "setup-envtest, or unset it to have everything built")
    missing = [name for name, path in found.items() if not path.exists()]
    if missing:
        _build(missing)
    return found


def of_system():
    """The paths of programs that the system's packages have; installs none."""
    found = {name: _of_system(name) for name in PACKAGED}
    missing = {name for name, path in found.items() if path is None}
    if missing:
        raise Failure(f"{', '.join(sorted(missing))} missing: run 'tests/servers setup' as root, or install "
                      f"{' '.join(_packages(missing))} (names of Debian's packages)")
    return found


def setup():
    """Everything that a cluster needs, installed and built."""
    missing = [name for name in PACKAGED if _of_system(name) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        _install(_packages(missing))
    of_system()
    find(*BUILT)


def _of_system(name):
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    # Some systems have a busybox that needs libraries, which an image of one file has not.
    if found and name == "busybox" and _is_dynamic(found):
        return None
    return found


def _is_dynamic(program):
    with open(program, "rb") as file:
        return b"/ld-" in file.read(4096)


def _packages(names):
    return sorted({PACKAGED[name] for name in names})


def _install(packages):
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "-q"], install):
        if subprocess.run(command, env=environment, stdout=sys.stderr, check=False).returncode:
            raise Failure(f"'{' '.join(command)}' failed: install {' '.join(packages)} yourself")


def _build(names):
    if not shutil.which("go"):
        raise Failure(f"go is missing, to build {', '.join(names)}: install Go 1.26 or newer from "
                      "https://go.dev/dl")
    folder = built()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        names = [name for name in names if not (folder / name).exists()]
        if not names:
            return
        print(f"building {', '.join(names)}: some 15 minutes on two cores, once", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            _compile([BUILT[name][0] for name in names], temporary)
            for name in names:
                os.rename(Path(temporary) / BUILT[name][1], folder / name)


def _compile(packages, into):
    version = re.search(rf"^\s*{KUBERNETES} v((\d+)\.(\d+)\.\d+)\b", (MODULE / "go.mod").read_text(), re.M)
    # Without a version of its own, kubectl refuses the server.
    stamp = "k8s.io/component-base/version.git"
    flags = (f"-s -w -X {stamp}Version=v{version[1]} -X {stamp}Major={version[2]} -X {stamp}Minor={version[3]}")
    command = ["nice", "go", "build", "-trimpath", "-ldflags", flags, "-o", into + "/", *packages]
    environment = dict(os.environ, CGO_ENABLED="0", GOWORK="off")
    environment.pop("GOOS", None)
    environment.pop("GOARCH", None)
    if subprocess.run(command, cwd=MODULE, env=environment, stdout=sys.stderr, check=False).returncode:
        raise Failure("the programs of tests/cluster/go.mod could not be built: see above (modules come from "
                      "GOPROXY; Go 1.26 or newer; some 5 GB of disk)")
