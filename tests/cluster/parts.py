"""The parts of a cluster: what each is configured with and called with.

All of them run in namespaces of the instance (node.py), so ports are the usual ones and never collide, and
loopback is the instance's own.
"""

import base64
import json
import secrets
from pathlib import Path

import images

NODE = "node"
SERVICES = "10.96.0.0/16"
# Of the service `kubernetes`. It stands on the node's loopback, which makes kube-proxy unnecessary.
API_SERVICE = "10.96.0.1"
ADMIN = "admin"
# What a part is reached with by others, from pods and from outside.
PORT = 443
STAGES = Path(__file__).resolve().parent / "stages.yaml"


class Addresses:
    """Of instance number n: the pair of interfaces, and the pods behind it.

    RFC 2544 sets these networks aside for tests, so nobody's are hidden, and nobody is reached afterwards.
    """

    def __init__(self, number):
        network = f"198.18.{number}"
        self.network = f"{network}.0/24"
        self.host = f"{network}.1"
        self.node = f"{network}.2"
        self.pods = f"{network}.128/25"
        self.link = f"kickoff{number}"
        self.inner_link = f"kickoff{number}n"


def containers(state: Path):
    """The ids of all containers that run, or ran when everything was killed."""
    return [folder.name for folder in state.glob("tasks/io.containerd.runtime.v2.task/k8s.io/*")]


def configure(state: Path, addresses, programs):
    """Writes all files that the parts read, but for the server's certificate, which it makes itself."""
    for folder in ("kubelet", "cni", "certificates", "log"):
        (state / folder).mkdir(exist_ok=True)
    (state / "account.key").write_text(_key())
    tokens = {name: secrets.token_hex(16) for name in (ADMIN, "system:node:" + NODE)}
    groups = {ADMIN: "system:masters", "system:node:" + NODE: "system:nodes"}
    (state / "tokens.csv").write_text(
        "".join(f'{token},{name},{name},"{groups[name]}"\n' for name, token in tokens.items()))
    (state / "containerd.toml").write_text(_containerd(state, programs))
    (state / "cni" / "10-pods.conflist").write_text(json.dumps(_network(state, addresses)))
    (state / "kubelet.json").write_text(json.dumps(_kubelet(state, addresses)))
    return {"admin": tokens[ADMIN], "node": tokens["system:node:" + NODE]}


def kubeconfig(addresses, token, authority):
    """As JSON, which is YAML."""
    server = {
        "server": f"https://{addresses.node}:{PORT}",
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    return json.dumps({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kickoff-test", "cluster": server}],
        "users": [{"name": "kickoff-test", "user": {"token": token}}],
        "contexts": [{"name": "kickoff-test", "context": {"cluster": "kickoff-test", "user": "kickoff-test"}}],
        "current-context": "kickoff-test",
    }, indent=2)


def commands(state: Path, addresses, programs, fast):
    """The command line of each part, in the order in which they start."""
    # What load tests lift; stock controllers take some 4 Jobs a second.
    limits = ["--kube-api-qps=1000", "--kube-api-burst=1000"] if fast else []
    admin = f"--kubeconfig={state}/kubeconfig"
    return {
        "containerd": [programs["containerd"], "--config", state / "containerd.toml"],
        "etcd": [
            programs["etcd"], "--data-dir", state / "etcd", "--unsafe-no-fsync",
            "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=default=http://127.0.0.1:2380",
        ],
        "kube-apiserver": [
            programs["kube-apiserver"], "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=0.0.0.0", f"--secure-port={PORT}", f"--advertise-address={addresses.node}",
            f"--cert-dir={state}/certificates", f"--service-cluster-ip-range={SERVICES}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={state}/account.key",
            f"--service-account-signing-key-file={state}/account.key",
            f"--token-auth-file={state}/tokens.csv", "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
        ],
        "kube-controller-manager": [
            programs["kube-controller-manager"], admin, "--leader-elect=false", "--secure-port=0",
            f"--service-account-private-key-file={state}/account.key",
            f"--root-ca-file={state}/certificates/apiserver.crt", *limits,
        ],
        "kube-scheduler": [
            programs["kube-scheduler"], admin, "--leader-elect=false", "--secure-port=0", *limits,
        ],
        "kubelet": [
            programs["kubelet"], f"--kubeconfig={state}/kubeconfig.node", f"--config={state}/kubelet.json",
            f"--root-dir={state}/kubelet", f"--cert-dir={state}/kubelet/pki",
            f"--hostname-override={NODE}", f"--node-ip={addresses.node}",
        ],
    }


def fake_nodes_command(state: Path, programs):
    """What plays the kubelet of nodes that run nothing: their pods end at once, and well."""
    return [
        programs["kwok"], f"--kubeconfig={state}/kubeconfig", f"--config={STAGES}", "--manage-all-nodes=false",
        "--manage-nodes-with-label-selector=type=kwok", "--server-address=127.0.0.1:10247",
        "--cidr=198.19.0.0/16", "--node-ip=198.19.0.1", "--node-lease-duration-seconds=40",
    ]


def fake_node(number):
    """Only pods that ask for `type: kwok` and tolerate the taint come here."""
    room = {"cpu": "1000", "memory": "1Ti", "pods": "10000"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": f"fake-{number}",
            "labels": {"type": "kwok", "kubernetes.io/os": "linux", "kubernetes.io/hostname": f"fake-{number}"},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "spec": {"taints": [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": room, "capacity": room},
    }


def _key():
    """A P-256 key as SEC 1 writes it: version 1, the secret number, the name of the curve."""
    # Below the curve's order, because its first byte is 0.
    secret = b"\0" + secrets.token_bytes(31)
    key = b"\x30\x31\x02\x01\x01\x04\x20" + secret + bytes.fromhex("a00a06082a8648ce3d030107")
    body = base64.encodebytes(key).decode()
    return f"-----BEGIN EC PRIVATE KEY-----\n{body}-----END EC PRIVATE KEY-----\n"


def _containerd(state, programs):
    return f"""
version = 2
root = "{state}/containerd"
state = "{state}/tasks"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
address = "{state}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{state}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{images.SANDBOX}"
restrict_oom_score_adj = true
disable_tcp_service = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{Path(programs['/usr/lib/cni/ptp']).parent}"
conf_dir = "{state}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{programs['runc']}"
"""


def _network(state, addresses):
    local = {
        "type": "host-local",
        "dataDir": f"{state}/cni/addresses",
        "ranges": [[{"subnet": addresses.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{"type": "ptp", "ipMasq": False, "ipam": local}],
    }


def _kubelet(state, addresses):
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": addresses.node,
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "clusterDNS": [addresses.node],
        "containerRuntimeEndpoint": f"unix://{state}/containerd.sock",
        "enforceNodeAllocatable": [],
        # A full disk of the machine is not what the tests are about.
        "evictionHard": {"memory.available": "100Mi"},
        "failCgroupV1": False,
        # So that a test meets in seconds what a node does after hours.
        "containerLogMaxSize": "1Mi",
        "containerLogMaxFiles": 2,
        "containerLogMonitorInterval": "3s",
        "failSwapOn": False,
        "healthzPort": 0,
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,
        "podLogsDir": f"{state}/log/pods",
        "resolvConf": "",
    }
