//! The command line as a person meets it: exit status and message of everything that can be typed wrong, and of
//! a TAP that can't be had.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

const TAPSTACK: &str = env!("CARGO_BIN_EXE_tapstack");

struct Outcome {
    status: i32,
    stdout: String,
    stderr: String,
}

fn outcome(output: &Output) -> Outcome {
    Outcome {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn tapstack(arguments: &[&str]) -> Outcome {
    outcome(&Command::new(TAPSTACK).args(arguments).stdin(Stdio::null()).output().unwrap())
}

/// A command in a network namespace of its own, for which no root is needed.
fn unshared(command: &str) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--net", "bash", "-c", command]).env("TAPSTACK", TAPSTACK);
    unshare
}

/// The outcome of `check` on a file of this text, and the file's name.
fn check(text: &str) -> (Outcome, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.toml");
    std::fs::write(&path, text).unwrap();
    let name = path.to_str().unwrap().to_owned();
    (tapstack(&["check", "--config", &name]), name)
}

#[track_caller]
fn assert_mistake(text: &str, line: usize, words: &str) {
    let (outcome, name) = check(text);
    assert_eq!(outcome.status, 2, "{}", outcome.stderr);
    assert!(outcome.stderr.starts_with(&format!("tapstack: {name}:{line}: ")), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "one message: {}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
}

const INTERFACE: &str = "[[interface]]\ntap = \"tap0\"\naddress = [\"192.0.2.2/24\"]\n";

fn behind_an_interface(text: &str) -> String {
    format!("{INTERFACE}{text}")
}

#[test]
fn wrong_configurations_exit_with_2_and_name_file_and_line() {
    let cases = [
        ("colour = 1", 4, "unknown field `colour`"),
        ("[telnet]", 4, "unknown field `telnet`"),
        ("mtu = 12", 4, "out of range"),
        ("mtu = \"big\"", 4, "expected u32"),
        ("mac = \"02:00\"", 4, "not a MAC address"),
        ("mac = \"ff:ff:ff:ff:ff:ff\"", 4, "group address"),
        ("host = \"192.0.2.2/24\"", 3, "given twice"),
        ("[[interface]]\ntap = \"tap0\"\naddress = [\"192.0.2.3/24\"]", 5, "configured twice"),
        ("[[interface]]\ntap = \"much-too-long-a-name\"\naddress = [\"10.0.0.1/8\"]", 5, "15 bytes"),
        ("[[route]]\nto = \"0.0.0.0/0\"\nvia = \"203.0.113.1\"", 6, "not on the network"),
        ("[http]\nlisten = [99999]", 5, "port from 1 to 65535"),
        ("[http]\nlisten = [80]\n[pop3]\nlisten = [80]", 7, "pop3 listens on 80 and so does http"),
        ("[http]\nroot = \"nowhere\"", 5, "not a directory"),
        ("[http]\n[[http.redirect]]\nfrom = \"/a\"\nto = \"/b\"\nstatus = 200", 8, "is no redirect"),
        ("[http]\n[[http.site]]\nnames = [\"A\"]", 6, "lower case"),
        ("[http]\n[[http.upload]]\npath = \"/in\"\naccounts = [\"alice\"]", 6, "takes a root"),
        ("[http]\n[[http.protect]]\npath = \"/in\"\nlogin = \"form\"", 7, "give tls_listen and account_pages"),
        ("[http]\n[[http.protect]]\npath = \"/in\"\nroles = [\"a b\"]", 7, "can't be a role"),
        ("[http]\naccount_pages = \"account\"", 5, "write \"/account/\""),
        ("[http]\nstate_page_role = \"Admin\"", 5, "can't be a role"),
        ("[http.log]\nfile = \"nowhere/log\"", 5, "in no directory that exists"),
        ("[pop3]\nmaildir = \"mail\"", 5, "put {user} in it"),
        ("[[account]]\nname = \"alice\"\npassword = \"secret\"", 6, "tapstack password"),
        ("[daemon]\ngrace = \"soon\"", 5, "length of time"),
        ("[http]\nlisten = [443]\ntls_listen = [443]", 6, "https listens on 443 and so does http"),
        ("[tls]\nprofile = \"old\"", 5, "unknown variant `old`"),
        ("[tls]\nclient_auth = \"required\"", 5, "client_auth needs client_ca"),
        ("[tls]\nnames = [\"good.example\", \"a b\"]", 5, "`a b` is no host name"),
        ("[tls]\nclient_ca = \"nowhere.pem\"", 5, "nowhere.pem: No such file"),
        (
            "[tls]\ncertificates = [\n{ certificate = \"nowhere.pem\", key = \"lab.toml\" }]",
            6,
            "nowhere.pem: No such file",
        ),
        (
            "[tls]\ncertificates = [\n{ certificate = \"lab.toml\", key = \"lab.toml\" }]",
            6,
            "there is no certificate in it",
        ),
        ("[http\n", 4, ""),
        ("listen = \n", 4, ""),
    ];
    for (text, line, words) in cases {
        assert_mistake(&behind_an_interface(text), line, words);
    }
    assert_mistake("[forwarding]\nenabled = true\n", 1, "no [[interface]]");
}

#[test]
fn a_configuration_that_is_not_there_says_so() {
    let outcome = tapstack(&["check", "--config", "/nowhere/lab.toml"]);
    assert_eq!(outcome.status, 2);
    assert!(
        outcome.stderr.contains("/nowhere/lab.toml: the configuration can't be read: No such file"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn run_refuses_a_wrong_configuration_before_it_touches_anything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lab.toml");
    std::fs::write(&path, behind_an_interface("mtu = 12")).unwrap();
    let outcome = tapstack(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("lab.toml:4: "), "{}", outcome.stderr);
}

#[test]
fn wrong_arguments_exit_with_2_and_say_which() {
    let cases: [(&[&str], &str); 18] = [
        (&[], "Usage"),
        (&["fly"], "unrecognized subcommand 'fly'"),
        (&["run", "--colour"], "unexpected argument '--colour'"),
        (&["run", "--tap"], "a value is required for '--tap"),
        (&["check", "--tap", "a/b"], "`a/b` can't be the name of a TAP device"),
        (&["check", "--address", "300.0.0.1/24"], "invalid value '300.0.0.1/24' for '--address"),
        (&["check", "--address", "192.0.2.255/24"], "broadcast address"),
        (&["check", "--mac", "2"], "not a MAC address"),
        (&["check", "--gateway", "203.0.113.1"], "not on the network of an interface"),
        (&["check", "--mtu", "5"], "68 to 65535"),
        (&["run", "--grace", "soon"], "not a length of time"),
        (&["check", "--key-log"], "add --pcap FILE"),
        (&["certificate", "forge"], "invalid value 'forge'"),
        (&["show", "weather"], "invalid value 'weather'"),
        (&["cable", "tap1"], "required arguments were not provided"),
        (&["cable", "tap1", "tap1"], "two different TAPs"),
        (&["cable", "tap1", "tap2", "--loss", "3"], "in percent"),
        (&["cable", "tap1", "tap2", "--rate", "fast"], "not a rate"),
    ];
    for (arguments, words) in cases {
        let outcome = tapstack(arguments);
        assert_eq!(outcome.status, 2, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{arguments:?}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, "", "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_on_standard_output() {
    let help = tapstack(&["--help"]);
    assert_eq!(help.status, 0);
    for command in ["run", "check", "show", "password", "cable", "sudo tapstack run", "ping 192.0.2.2"] {
        assert!(help.stdout.contains(command), "{}", help.stdout);
    }
    let version = tapstack(&["--version"]);
    assert_eq!((version.status, version.stdout.trim()), (0, concat!("tapstack ", env!("CARGO_PKG_VERSION"))));
    for command in ["run", "check", "show", "password", "account", "certificate", "cable"] {
        let help = tapstack(&[command, "--help"]);
        assert_eq!(help.status, 0);
        assert!(help.stdout.contains("Examples:"), "{command}: {}", help.stdout);
    }
}

#[test]
fn what_check_prints_is_a_configuration_that_check_accepts() {
    let outcome = tapstack(&["check"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("#   tap0 02:"), "{}", outcome.stdout);
    let (again, _) = check(&outcome.stdout);
    assert_eq!(again.status, 0, "{}", again.stderr);
}

#[test]
fn check_says_how_many_threads_would_run() {
    let (outcome, _) = check(&format!("{INTERFACE}queues = 3\n"));
    assert!(outcome.stdout.contains("#   3 queues, a thread"), "{}", outcome.stdout);
    assert_mistake(&format!("{INTERFACE}queues = 0\n"), 4, "1 to 64");
}

#[test]
fn a_password_becomes_an_argon2id_hash_that_an_account_takes() {
    let mut child = Command::new(TAPSTACK)
        .arg("password")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"wonderland\n").unwrap();
    let hash = outcome(&child.wait_with_output().unwrap());
    assert_eq!(hash.status, 0, "{}", hash.stderr);
    assert!(hash.stdout.starts_with("$argon2id$v=19$"), "{}", hash.stdout);
    let account = format!("[[account]]\nname = \"alice\"\npassword = \"{}\"\n", hash.stdout.trim());
    let (checked, _) = check(&behind_an_interface(&account));
    assert_eq!(checked.status, 0, "{}", checked.stderr);
    assert_eq!(tapstack(&["password"]).status, 2, "an empty password is refused");
}

/// The outcome of `account` with these words, and a password on standard input.
fn account(state: &std::path::Path, words: &[&str], password: &str) -> Outcome {
    let mut child = Command::new(TAPSTACK)
        .arg("account")
        .args(words)
        .args(["--control", "/nowhere/x.sock", "--state"])
        .arg(state)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Most of them ask for nothing, and may be gone.
    let _ = child.stdin.take().unwrap().write_all(password.as_bytes());
    outcome(&child.wait_with_output().unwrap())
}

#[test]
fn accounts_are_added_listed_locked_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let added = account(&state, &["add", "alice"], "wonderland\n");
    assert_eq!((added.status, added.stdout.as_str()), (0, "alice: added; no daemon runs\n"), "{}", added.stderr);
    assert_eq!(account(&state, &["add", "bob"], "gr\u{fc}n\n").status, 0);
    let list = || {
        let said = account(&state, &["list", "--json"], "").stdout;
        let all: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
        all.iter().map(|one| format!("{} {} {}", one["name"], one["locked"], one["scram"])).collect::<Vec<_>>()
    };
    assert_eq!(list(), ["\"alice\" false true", "\"bob\" false false"]);
    assert_eq!(account(&state, &["lock", "bob"], "").status, 0);
    assert_eq!(list(), ["\"alice\" false true", "\"bob\" true false"]);
    assert!(
        account(&state, &["list"], "").stdout.lines().any(|line| line.starts_with("bob") && line.contains("locked"))
    );
    assert_eq!(account(&state, &["remove", "alice"], "").status, 0);
    assert_eq!(list(), ["\"bob\" true false"]);
}

#[test]
fn roles_and_services_of_an_account_are_given_and_taken() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let rights = || {
        let all: Vec<serde_json::Value> =
            serde_json::from_str(&account(state, &["list", "--json"], "").stdout).unwrap();
        format!("{} {}", all[0]["roles"], all[0]["services"])
    };
    let words = ["add", "alice", "--role", "staff", "--role", "admin", "--service", "web"];
    assert_eq!(account(state, &words, "wonderland\n").status, 0);
    assert_eq!(rights(), "[\"admin\",\"staff\"] [\"web\"]");
    let listed = account(state, &["list"], "").stdout;
    assert!(listed.contains("admin staff") && listed.contains("ROLES"), "{listed}");
    for (words, expected) in [
        (&["role", "alice", "--add", "guest", "--remove", "staff"][..], "[\"admin\",\"guest\"] [\"web\"]"),
        (&["role", "alice", "--remove", "admin", "--remove", "guest"], "[] [\"web\"]"),
        (&["service", "alice", "pop3", "submission"], "[] [\"pop3\",\"submission\"]"),
        (&["service", "alice", "none"], "[] []"),
        (&["service", "alice", "all"], "[] null"),
    ] {
        let said = account(state, words, "");
        assert_eq!((said.status, rights().as_str()), (0, expected), "{words:?}: {}", said.stderr);
    }
    for words in [
        &["role", "alice"][..],
        &["role", "alice", "--add", "Admin"],
        &["role", "bob", "--add", "admin"],
        &["service", "alice", "ftp"],
        &["service", "alice"],
    ] {
        assert_eq!(account(state, words, "").status, 2, "{words:?}");
    }
}

#[test]
fn what_is_wrong_with_an_account_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    assert_eq!(account(state, &["add", "alice"], "wonderland\n").status, 0);
    for (words, password, status, complaint) in [
        (&["add", "alice"], "x\n", 2, "there is an account \"alice\" already"),
        (&["add", "../bob"], "x\n", 2, "use 1 to 64 of"),
        (&["add", "bob"], "\n", 2, "the password is empty"),
        (&["lock", "bob"], "", 2, "there is no account \"bob\""),
        (&["password", "bob"], "x\n", 2, "there is no account \"bob\""),
    ] {
        let said = account(state, words, password);
        assert_eq!(said.status, status, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(complaint), "{words:?}: {}", said.stderr);
        assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    }
    let config = folder.path().join("lab.toml");
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    std::fs::write(&config, behind_an_interface(&format!("[[account]]\nname = \"carol\"\npassword = \"{hash}\"\n")))
        .unwrap();
    for action in ["add", "password", "lock", "unlock"] {
        let said = account(state, &[action, "carol", "--config", config.to_str().unwrap()], "x\n");
        assert_eq!(said.status, 2, "{action}: {}", said.stderr);
        assert!(said.stderr.contains("is one of the configuration: change it there"), "{action}: {}", said.stderr);
    }
    std::fs::write(folder.path().join("file"), "").unwrap();
    let nowhere = account(&folder.path().join("file"), &["list"], "");
    assert_eq!(nowhere.status, 1);
    assert!(nowhere.stderr.contains("--state"), "{}", nowhere.stderr);
}

#[test]
fn a_certificate_that_was_not_made_yet_is_said_to_be_none() {
    for what in ["print", "export", "install"] {
        let outcome = tapstack(&["certificate", what, "--state", "/nowhere"]);
        assert_eq!(outcome.status, 1, "{what}");
        assert!(outcome.stderr.contains("/nowhere/tls/authority.pem: No such file"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("first starts"), "{}", outcome.stderr);
    }
}

#[test]
fn show_without_a_daemon_exits_with_1_and_says_what_to_do() {
    let outcome = tapstack(&["show", "sockets", "--control", "/nowhere/tap0.sock"]);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.stderr.starts_with("tapstack: the daemon can't be asked: /nowhere/tap0.sock: "),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("is it running?"), "{}", outcome.stderr);
}

#[test]
fn a_tap_without_permission_exits_with_1_and_advises() {
    // Whoever runs this, the capability is dropped: a user namespace of its own maps nobody to root.
    let mut command = Command::new("unshare");
    command.args(["--user", TAPSTACK, "run", "--tap", "tap-denied"]);
    let outcome = outcome(&command.output().unwrap());
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the TAP device can't be opened: tap-denied: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("CAP_NET_ADMIN"), "{}", outcome.stderr);
}

#[test]
fn a_tap_that_is_in_use_exits_with_1_and_advises() {
    let script = r#"
        mkfifo "$FIFO"
        "$TAPSTACK" cable busy0 busy1 --for 20s >"$FIFO" & first=$!
        read line <"$FIFO" && [ "$line" = ready ] || exit 90
        "$TAPSTACK" cable busy0 busy2; status=$?
        kill -TERM $first; wait $first || exit 91
        exit $status
    "#;
    let folder = tempfile::tempdir().unwrap();
    let outcome = outcome(&unshared(script).env("FIFO", folder.path().join("fifo")).output().unwrap());
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the TAP device can't be opened: busy0: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("another process uses it"), "{}", outcome.stderr);
}

#[test]
fn a_device_that_is_no_tap_exits_with_1_and_advises() {
    let script = r#"ip link add br9 type bridge && exec "$TAPSTACK" cable br9 t1"#;
    let outcome = outcome(&unshared(script).output().unwrap());
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("br9") && outcome.stderr.contains("not a TAP"), "{}", outcome.stderr);
}

#[test]
fn a_cable_carries_frames_between_two_taps_until_it_is_told_to_stop() {
    let script = r#"exec "$TAPSTACK" cable end0 end1 --seed 7 --delay 1ms"#;
    let mut child = unshared(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(rest[0].contains("LOST") && rest[1].starts_with("end0") && rest[2].starts_with("end1"), "{rest:?}");
    assert_eq!(rest[3], "seed 7");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_cable_stops_by_itself_when_its_time_is_over() {
    let outcome = outcome(&unshared(r#"exec "$TAPSTACK" cable end0 end1 --for 50ms"#).output().unwrap());
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.starts_with("ready\n"), "{}", outcome.stdout);
}

/// Starts the daemon in a namespace of its own as the background job `$daemon`, waits for `ready`, and runs `script`.
fn with_daemon(script: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let start = r#"
        cd "$FOLDER" && mkfifo out
        ask() { "$TAPSTACK" show "$@" --control c.sock; }
        "$TAPSTACK" run --control c.sock --state state >out & daemon=$!
        read line <out && [ "$line" = ready ] || exit 90
    "#;
    std::fs::write(folder.path().join("lab.toml"), behind_an_interface("host = \"192.0.2.1/24\"\n[small]\n")).unwrap();
    outcome(&unshared(&format!("{start}\n{script}")).env("FOLDER", folder.path()).output().unwrap())
}

#[test]
fn the_daemon_answers_stops_in_order_and_leaves_nothing_behind() {
    let outcome = with_daemon(
        r#"
        ip -brief address show tap0
        ask interfaces; ask sockets; ask routes --json
        kill -TERM $daemon; wait $daemon || exit 91
        [ -e c.sock ] && exit 92
        ip link show tap0 2>/dev/null && exit 93
        exit 0
        "#,
    );
    assert_eq!(outcome.status, 0, "{} {}", outcome.stdout, outcome.stderr);
    for words in ["192.0.2.1/24", "192.0.2.2/24", "LISTEN", "0.0.0.0:110", "\"to\": \"192.0.2.0/24\""] {
        assert!(outcome.stdout.contains(words), "{words}: {}", outcome.stdout);
    }
}

#[test]
fn a_second_daemon_on_the_same_control_socket_says_what_to_do() {
    let outcome = with_daemon(
        r#"
        "$TAPSTACK" run --tap other --address 198.51.100.2/24 --control c.sock --state state; status=$?
        ask limits >/dev/null || exit 91
        kill -INT $daemon; wait $daemon || exit 92
        exit $status
        "#,
    );
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("another tapstack listens there: stop it first"), "{}", outcome.stderr);
}

#[test]
fn a_daemon_that_was_killed_does_not_stand_in_the_way_of_the_next() {
    let outcome = with_daemon(
        r#"
        kill -KILL $daemon; wait $daemon
        [ -e c.sock ] || exit 91
        "$TAPSTACK" run --control c.sock --state state >out & daemon=$!
        read line <out && [ "$line" = ready ] || exit 92
        kill -TERM $daemon; wait $daemon
        "#,
    );
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
}

#[test]
fn a_device_that_is_taken_down_and_up_goes_on_and_one_that_is_deleted_ends_the_daemon() {
    let outcome = with_daemon(
        r#"
        ip link set tap0 down; ip link set tap0 up
        ask interfaces >/dev/null || exit 91
        ip link delete tap0; wait $daemon
        "#,
    );
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the TAP device can't be read: tap0: "), "{}", outcome.stderr);
}

#[test]
fn a_device_that_outlives_the_daemon_gets_its_former_state_back() {
    let outcome = with_daemon(
        r#"
        kill -TERM $daemon; wait $daemon
        ip tuntap add tap0 mode tap && ip address add 10.9.8.7/24 dev tap0 && ip link set tap0 mtu 1400
        before=$(ip address show tap0)
        "$TAPSTACK" run --control c.sock --state state >out & daemon=$!
        read line <out && [ "$line" = ready ] || exit 92
        ip address show tap0 | grep -q 192.0.2.1/24 || exit 93
        kill -TERM $daemon; wait $daemon
        ip address show tap0
        ip address show tap0 | grep -q "mtu 1400" || exit 94
        ip address show tap0 | grep -q 10.9.8.7/24 || exit 95
        ip address show tap0 | grep -q "state DOWN" || exit 96
        "#,
    );
    assert_eq!(outcome.status, 0, "{} {}", outcome.stdout, outcome.stderr);
}

#[test]
fn a_configuration_is_reloaded_on_sighup_and_a_wrong_one_changes_nothing() {
    let outcome = with_daemon(
        r#"
        kill -TERM $daemon; wait $daemon
        "$TAPSTACK" run --config lab.toml --control c.sock --state state >out 2>log & daemon=$!
        read line <out && [ "$line" = ready ] || exit 92
        echo 'colour = 1' >>lab.toml
        kill -HUP $daemon
        until grep -q 'not reloaded.*lab.toml:6: unknown field' log; do ask limits >/dev/null || exit 93; done
        kill -TERM $daemon; wait $daemon
        "#,
    );
    assert_eq!(outcome.status, 0, "{} {}", outcome.stdout, outcome.stderr);
}

#[test]
fn a_connection_that_does_not_end_in_its_grace_period_is_reset() {
    let outcome = with_daemon(
        r#"
        kill -TERM $daemon; wait $daemon
        "$TAPSTACK" run --grace 300ms --control c.sock --state state >out 2>log & daemon=$!
        read line <out && [ "$line" = ready ] || exit 92
        exec 3<>/dev/tcp/192.0.2.2/7 || exit 93
        echo hello >&3 && read answer <&3 && [ "$answer" = hello ] || exit 94
        kill -TERM $daemon; wait $daemon || exit 95
        grep -q "are reset" log || exit 96
        trap '' PIPE
        if echo more >&3; then exit 97; fi
        exit 0
        "#,
    );
    assert_eq!(outcome.status, 0, "{} {}", outcome.stdout, outcome.stderr);
}
