"""Images as one-layer archives of files of this machine, in the form that `docker save` writes.

No registry is asked for anything: containerd imports these.
"""

import hashlib
import io
import json
import platform
import re
import subprocess
import tarfile

BUSYBOX = "kickoff.test/busybox:1"
SANDBOX = "kickoff.test/sandbox:1"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(archive, reference, files, entrypoint, links=()):
    """An image `reference` with `files` (path to source) and `links` (path to target)."""
    layer = _layer(files, links)
    config = json.dumps({
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }).encode()
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        for name, content in [
            ("config.json", config), ("layer.tar", layer), ("manifest.json", json.dumps(manifest).encode()),
        ]:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive


def libraries(programs):
    """What programs load when they start, each at its own path; nothing for static ones."""
    found = {}
    for program in programs:
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        found.update({path: path for path in re.findall(r"(/\S+) \(0x", listed)})
    return found


def busybox(archive, program):
    """A static busybox with a link for each of its commands; what a command is called with, runs."""
    listed = subprocess.run([program, "--list-full"], check=True, capture_output=True, text=True).stdout
    links = {"/" + path: "/bin/busybox" for path in listed.split() if path != "bin/busybox"}
    return write(archive, BUSYBOX, {"/bin/busybox": program}, None, links)


def sandbox(archive, program):
    """What holds a pod's namespaces: it only sleeps."""
    return write(archive, SANDBOX, {"/bin/busybox": program}, ["/bin/busybox", "sleep", "2147483647"])


def _layer(files, links):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for folder, mode in [("tmp", 0o1777), ("etc", 0o755)]:
            _entry(tar, folder, tarfile.DIRTYPE, mode)
        users = b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
        _entry(tar, "etc/passwd", tarfile.REGTYPE, 0o644, users)
        for path, source in files.items():
            with open(source, "rb") as file:
                _entry(tar, path.lstrip("/"), tarfile.REGTYPE, 0o755, file.read())
        for path, target in dict(links).items():
            _entry(tar, path.lstrip("/"), tarfile.SYMTYPE, 0o777, target=target)
    return content.getvalue()


def _entry(tar, name, kind, mode, content=b"", target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.linkname = kind, mode, len(content), target
    tar.addfile(entry, io.BytesIO(content))
