"""Hosts with networks of their own on one machine: network namespaces of Linux, behind nginx or haproxy.

A program that calls `enter` runs in a namespace of its own, so it touches no address or link of the machine, and all of
it ends with the program. Each host has two links: to the balancer (10.77.1.0/24), and to the store (10.77.2.0/24).
"""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).parents[2]
FRONT, STORE = "10.77.1", "10.77.2"
INSIDE = "RECSYS_IN_NAMESPACE"
PORT = 8080  # of the balancer
PATIENCE = "max_fails=3 fail_timeout=2s"  # by default one failed answer of each host, and nginx answers 502 for 10 s
NGINX, HAPROXY = "/usr/sbin/nginx", "/usr/sbin/haproxy"
HAPROXY_CONF = """
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 10s
    option redispatch
frontend shop
    bind :{port}
    default_backend hosts
backend hosts
    balance roundrobin
    option httpchk GET /readyz
    {servers}
"""


def missing(*programs: str) -> str | None:
    """Return why there can be no namespaces here, or which of the programs is absent; None if all is there."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces need Linux and root"
    absent = [name for name in ("ip", "unshare", "nsenter", *programs) if shutil.which(name) is None]
    if absent:
        return f"{absent[0]} is not installed"
    tried = subprocess.run(["unshare", "--net", "ip", "link", "add", "x", "type", "bridge"], capture_output=True)
    return f"no namespaces here: {tried.stderr.decode().strip()}" if tried.returncode else None


def enter(*programs: str) -> None:
    """Start this program again in a network namespace of its own, if it is not in one. Ends it if that cannot be."""
    if INSIDE not in os.environ:
        if reason := missing(*programs):
            raise SystemExit(reason)
        os.execvpe("unshare", ["unshare", "--net", *sys.orig_argv], {**os.environ, INSIDE: "yes"})


@dataclass(frozen=True)
class Host:
    """address: where the balancer finds it; inside: the words before a command that runs there."""

    number: int
    address: str
    inside: tuple[str, ...]

    def connect(self, store: bool) -> None:
        """Plug in or pull out its cable to the store."""
        ip(f"link set store-{self.number} {'up' if store else 'down'}")


@contextmanager
def hosts(n: int) -> Iterator[list[Host]]:
    """Start n hosts, numbered from 0. This namespace is 10.77.1.1 for their balancer and 10.77.2.1 for their store."""
    ip("link set lo up")
    for name, net in (("front", FRONT), ("store", STORE)):
        ip(f"link add {name} type bridge")
        ip(f"addr add {net}.1/24 dev {name}")
        ip(f"link set {name} up")
    with ExitStack() as stack:
        yield [stack.enter_context(_host(number)) for number in range(n)]
    for name in ("front", "store"):
        ip(f"link delete {name}")


@contextmanager
def _host(number: int) -> Iterator[Host]:
    own = f"/proc/{os.getpid()}/ns/net"
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    try:
        while os.readlink(f"/proc/{holder.pid}/ns/net") == os.readlink(own):
            time.sleep(0.01)
        inside = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        for name, net in (("front", FRONT), ("store", STORE)):
            ip(f"link add {name}-{number} type veth peer name {name} netns {holder.pid}")
            ip(f"link set {name}-{number} master {name} up")
            ip(f"addr add {net}.{10 + number}/24 dev {name}", inside)
            ip(f"link set {name} up", inside)
        yield Host(number, f"{FRONT}.{10 + number}", inside)
    finally:
        holder.kill()
        holder.wait()


@contextmanager
def balancer(name: str, folder: Path, addresses: Sequence[str], limits: bool = True) -> Iterator[None]:
    """Run nginx, with deploy/nginx.conf, or haproxy on PORT in front of these addresses ("10.77.1.10:8000").

    limits: False leaves out the limit of requests for each address.
    """
    conf = folder / f"{name}.conf"
    if name == "nginx":
        text = (TOP / "deploy/nginx.conf").read_text()
        for old, new in (
            ("server api:8000;", " ".join(f"server {address} {PATIENCE};" for address in addresses)),
            ("/tmp/nginx.pid", str(folder / "nginx.pid")),
            *([] if limits else [("limit_req zone=address burst=400 nodelay;", "")]),
        ):
            assert old in text, old
            text = text.replace(old, new)
        command = [NGINX, "-c", str(conf), "-g", "daemon off;"]
    else:
        lines = [f"server host-{n} {address} check inter 500ms fall 1" for n, address in enumerate(addresses)]
        text = HAPROXY_CONF.format(port=PORT, servers="\n    ".join(lines))
        command = [HAPROXY, "-db", "-f", str(conf)]
    conf.write_text(text)
    with (folder / f"{name}.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _answers(process, folder / f"{name}.log")
            yield
        finally:
            process.terminate()


def _answers(process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=5).read()
            return
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
        if process.poll() is not None:
            break
    raise RuntimeError(f"the balancer passes nothing on: {log.read_text()}")


def ip(words: str, inside: Sequence[str] = ()) -> None:
    """Run `ip` with these words."""
    subprocess.run([*inside, "ip", *words.split()], check=True)
