//! A network namespace, and how programs and sockets get into it.

use super::{SOON, within};
use std::fs::{self, File};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tapstack::physical::tap::{Tap, TapOptions};
use tempfile::TempDir;

/// A network namespace with a folder for files. Both go when it is dropped.
pub struct Namespace {
    name: String,
    folder: TempDir,
}

/// What a program did.
pub struct Finished {
    /// Its exit status; 124 if it took too long.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Namespace {
    /// An empty namespace: only the loopback interface, up.
    pub fn new() -> Namespace {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static ORPHANS: Once = Once::new();
        assert!(
            effective_user() == Some(0),
            "the namespace tests need root: run them as root, or in namespaces of your own: \
             unshare --user --map-root-user --net --mount sh -c 'mount -t tmpfs none /run && cargo test'"
        );
        ORPHANS.call_once(remove_orphans);
        let name = format!("ts-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]);
        let namespace = Namespace { name, folder: TempDir::with_prefix("tapstack-").unwrap() };
        ip(&["-n", &namespace.name, "link", "set", "lo", "up"]);
        namespace
    }

    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder that programs start in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the folder, making the folders on its way.
    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let path = self.folder().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Reads a file of the folder.
    pub fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.folder().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// Runs a shell line that must succeed; what it printed.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        let finished = self.attempt(line);
        assert!(finished.status == 0, "status {} of: {line}\n{}{}", finished.status, finished.stdout, finished.stderr);
        finished.stdout
    }

    /// Runs a shell line that may fail.
    pub fn attempt(&self, line: &str) -> Finished {
        self.attempt_for(Duration::from_secs(60), line)
    }

    /// Runs a shell line that may fail and may take so long.
    pub fn attempt_for(&self, limit: Duration, line: &str) -> Finished {
        let limit = limit.as_secs().to_string();
        let output = self
            .command(&["timeout", "-k", "2", &limit, "bash", "-c", &format!("set -o pipefail; {line}")])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Finished {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts a shell line that goes on by itself; it ends at the latest when the returned value is dropped.
    pub fn start(&self, line: &str) -> Running {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let command = self.command(&["setpriv", "--pdeathsig", "KILL", "bash", "-c", line]);
        Running::start(command, line, self.folder().join(format!("program-{number}")))
    }

    /// A command whose words are run inside the namespace, with the program under test first in the path.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        let path = std::env::var("PATH").unwrap_or_default();
        let binary = super::binary();
        let ours = binary.parent().unwrap();
        command
            .args(["netns", "exec", &self.name])
            .args(words)
            .current_dir(self.folder())
            .env("PATH", format!("{}:{path}:/usr/sbin:/sbin", ours.display()))
            .env("LC_ALL", "C");
        command
    }

    /// Calls `work` on a thread that is inside the namespace; sockets made there stay there.
    pub fn inside<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let namespace = File::open(format!("/run/netns/{}", self.name)).unwrap();
        let entered = move || {
            #[expect(unsafe_code, reason = "the standard library does not know namespaces")]
            // SAFETY: only this thread, which ends with `work`, changes its network namespace; the descriptor is open.
            let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "setns: {}", io::Error::last_os_error());
            work()
        };
        std::thread::scope(|scope| scope.spawn(entered).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Connects a kernel socket that fails rather than waits for ever.
    pub fn try_connect(&self, to: &str) -> io::Result<TcpStream> {
        let to = to.parse().unwrap();
        let stream = self.inside(|| TcpStream::connect_timeout(&to, SOON))?;
        stream.set_read_timeout(Some(SOON))?;
        stream.set_write_timeout(Some(SOON))?;
        Ok(stream)
    }

    /// Connects a kernel socket that fails rather than waits for ever.
    #[track_caller]
    pub fn connect(&self, to: &str) -> TcpStream {
        self.try_connect(to).unwrap_or_else(|error| panic!("connecting to {to}: {error}"))
    }

    /// A kernel UDP socket that sends to and hears from `to`.
    pub fn udp(&self, to: &str) -> UdpSocket {
        let socket = self.inside(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket
    }

    /// A listening kernel socket.
    pub fn listen(&self, at: &str) -> TcpListener {
        self.inside(|| TcpListener::bind(at)).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let deleted = Command::new("ip").args(["netns", "del", &self.name]).status();
        if !std::thread::panicking() {
            assert!(deleted.is_ok_and(|status| status.success()), "{} is left over", self.name);
        }
    }
}

/// A program that goes on by itself.
pub struct Running {
    child: Child,
    what: String,
    output: PathBuf,
}

impl Running {
    /// Starts `command` in a process group of its own, with what it prints going to `output.stdout` and `.stderr`.
    pub fn start(mut command: Command, what: &str, output: PathBuf) -> Running {
        let file = |ending| File::create(output.with_extension(ending)).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        Running { child, what: what.to_owned(), output }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.output.with_extension("stdout")).unwrap_or_default()
    }

    /// What it has printed to standard error.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.output.with_extension("stderr")).unwrap_or_default()
    }

    /// True until it has ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal to it and to what it started.
    pub fn signal(&self, name: &str) {
        let line = format!("kill -s {name} -- -{}", self.pid());
        // It may have ended by itself a moment ago.
        let _ = Command::new("sh").args(["-c", &line]).stderr(Stdio::null()).status();
    }

    /// Waits until it ends; fails the test if that takes too long.
    #[track_caller]
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        while self.is_running() {
            assert!(start.elapsed() < limit, "still running after {limit:?}: {}\n{}", self.what, self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.wait().unwrap()
    }

    /// Waits for a line of its standard output.
    #[track_caller]
    pub fn wait_for_line(&mut self, wanted: &str) {
        let start = Instant::now();
        while !self.stdout().lines().any(|line| line == wanted) {
            let gone = !self.is_running();
            assert!(
                !gone && start.elapsed() < SOON,
                "{} did not say `{wanted}`{}: {}{}",
                self.what,
                if gone { " and ended" } else { "" },
                self.stdout(),
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A group whose leader was waited for may still have members.
        self.signal("KILL");
        let _ = self.child.wait();
    }
}

fn effective_user() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Removes the namespaces of test runs that were killed; their programs died with them.
fn remove_orphans() {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix("ts-").and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            let _ = Command::new("ip").args(["netns", "del", &name]).status();
        }
    }
}

#[track_caller]
fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("the program `ip` (package iproute2) is needed");
    assert!(output.status.success(), "ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
}

/// A TAP of this process in the namespace of this thread. Without offloads the device is opened a second time where the kernel
/// lends no thread, and is busy while a child that another test forks has yet to begin its program: until then it has our
/// descriptors.
#[track_caller]
pub fn open_tap(name: &str, offload: bool) -> Tap {
    let mut tap = Err("never tried".to_owned());
    within(SOON, || {
        tap = Tap::open(name, TapOptions { offload, is_one_of_several: false }).map_err(|error| error.to_string());
        tap.is_ok()
    });
    tap.unwrap()
}
