#!/usr/bin/env python3
"""POP3 of a large mailbox beside Dovecot: login, STAT and UIDL, in turns, in network namespaces of their own.

Run by `scripts/bench --mailbox` as root: mailbox.py TAPSTACK FOLDER MESSAGES ROUNDS. The client speaks over the kernel's
sockets to tapstack behind a TAP, and to Dovecot behind a veth. Both have the same messages, in Maildirs of their own, whose
names tell no sizes; each has looked at them once before it is measured.
"""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

TAPSTACK, FOLDER, MESSAGES, ROUNDS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
CLONE_NEWNET = 0x40000000
OURS, SERVER, CLIENT = (f"ts-mailbox-{os.getpid()}-{name}" for name in ("tap", "server", "client"))
DOVECOT = """
protocols = pop3
base_dir = {folder}/run
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail/%u
log_path = {folder}/dovecot.log
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/home
}}
"""
OWN = """
[[interface]]
tap = "tap0"
address = ["192.0.2.2/24"]
host = "192.0.2.1/24"
[pop3]
maildir = "mail/{{user}}"
[[account]]
name = "alice"
password = "{password}"
"""


def run(*words):
    subprocess.run(words, check=True)


def within(namespace, *words, **more):
    return subprocess.Popen(["ip", "netns", "exec", namespace, *words], **more)


def fill(maildir):
    for folder in ("cur", "new", "tmp"):
        os.makedirs(f"{maildir}/{folder}")
    body = ("x" * 70 + "\n") * 10
    for number in range(MESSAGES):
        with open(f"{maildir}/cur/{1700000000 + number}.M{number % 1000000:06}P1Q{number}.host:2,S", "w") as message:
            message.write(f"From: bob@example.com\nTo: alice@example.org\nSubject: {number}\n\n{body}")


def session(namespace, pids):
    """Seconds from connecting to the last identifier, and the memory of the server's processes beside it in KiB."""
    result = {}

    def talk():
        with open(f"/run/netns/{namespace}") as there:
            # Only this thread goes there.
            assert ctypes.CDLL(None).setns(there.fileno(), CLONE_NEWNET) == 0
        began = time.perf_counter()
        client = socket.create_connection(("192.0.2.2", 110), timeout=600)
        lines = client.makefile("rb", 1 << 18)
        for words in ("", "USER alice\r\n", "PASS wonderland\r\n", "STAT\r\n", "UIDL\r\n"):
            client.sendall(words.encode())
            answer = lines.readline()
            assert answer.startswith(b"+OK"), answer
        count = 0
        while lines.readline() != b".\r\n":
            count += 1
        result["seconds"] = time.perf_counter() - began
        assert count == MESSAGES, count
        result["memory"] = sum(memory(pid) for pid in pids())
        client.sendall(b"QUIT\r\n")
        lines.readline()
        client.close()

    thread = threading.Thread(target=talk)
    thread.start()
    thread.join()
    return result["seconds"], result["memory"]


def memory(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except (FileNotFoundError, StopIteration):
        return 0


def called(name):
    """The processes of a name that we started: those in our folder."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as comm:
                if comm.read().strip() == name and os.readlink(f"/proc/{pid}/cwd").startswith(FOLDER):
                    yield int(pid)
        except OSError:
            pass


def main():
    password = subprocess.run([TAPSTACK, "password"], input=b"wonderland\n", stdout=subprocess.PIPE, check=True)
    for place in ("own", "dovecot"):
        os.makedirs(f"{FOLDER}/{place}")
        fill(f"{FOLDER}/{place}/mail/alice")
    os.makedirs(f"{FOLDER}/dovecot/home")
    with open(f"{FOLDER}/own/tapstack.toml", "w") as config:
        config.write(OWN.format(password=password.stdout.decode().strip()))
    with open(f"{FOLDER}/dovecot/dovecot.conf", "w") as config:
        config.write(DOVECOT.format(folder=f"{FOLDER}/dovecot"))
    with open(f"{FOLDER}/dovecot/users", "w") as users:
        users.write("alice:{PLAIN}wonderland\n")
    nobody = pwd.getpwnam("nobody")
    for path, folders, files in os.walk(f"{FOLDER}/dovecot"):
        for name in folders + files:
            os.chown(f"{path}/{name}", nobody.pw_uid, nobody.pw_gid)
    started = []
    try:
        for namespace in (OURS, SERVER, CLIENT):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "link", "add", "veth0", "netns", SERVER, "type", "veth", "peer", "name", "veth1", "netns", CLIENT)
        for namespace, device, address in ((SERVER, "veth0", "192.0.2.2/24"), (CLIENT, "veth1", "192.0.2.1/24")):
            run("ip", "-n", namespace, "address", "add", address, "dev", device)
            run("ip", "-n", namespace, "link", "set", device, "up")
        control = f"{FOLDER}/own/control.sock"
        daemon = within(
            OURS, TAPSTACK, "run", "--config", f"{FOLDER}/own/tapstack.toml", "--control", control,
            "--state", f"{FOLDER}/own/state", stdout=subprocess.PIPE,
        )
        started.append(daemon)
        assert daemon.stdout.readline() == b"ready\n"
        dovecot = within(SERVER, "dovecot", "-F", "-c", f"{FOLDER}/dovecot/dovecot.conf", cwd=f"{FOLDER}/dovecot")
        started.append(dovecot)
        time.sleep(2)
        peers = {
            "tapstack": (OURS, lambda: [daemon.pid]),
            "dovecot": (CLIENT, lambda: called("pop3")),
        }
        seconds, most = {name: [] for name in peers}, dict.fromkeys(peers, 0)
        for turn in range(ROUNDS + 1):
            for name, (namespace, pids) in peers.items():
                took, used = session(namespace, pids)
                most[name] = max(most[name], used)
                if turn > 0:
                    seconds[name].append(took)
                else:
                    print(f"{name:9} the first time {took:8.3f} s", flush=True)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        for name, median in medians.items():
            print(f"{name:9} median of {ROUNDS}    {median:8.3f} s   peak memory {most[name] / 1024:6.1f} MiB")
        print(f"ratio     time {medians['tapstack'] / medians['dovecot']:.2f}")
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(timeout=10)
        for namespace in (OURS, SERVER, CLIENT):
            subprocess.run(["ip", "netns", "del", namespace], check=False)
        shutil.rmtree(FOLDER, ignore_errors=True)


main()
