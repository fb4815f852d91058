//! What is wrong on our side: certificates, folders, disks. Told in one line, and nothing is lost by it.

use crate::lab::{DAEMON, Daemon, Lab, Namespace, SmallDisk, eventually};

/// Certificates by openssl: `a` and `b` of the names A and B, `nobody` without a name, and what is none.
const CERTIFICATES: &str = r#"
make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=$1 \
    -keyout $1.key -out $1.pem "${@:2}" 2>&1; }
make a -addext subjectAltName=DNS:a.example && make b -addext subjectAltName=DNS:b.example && make nobody
openssl ec -aes128 -passout pass:secret -in a.key -out locked.key 2>&1
echo nonsense > nonsense.pem && mkdir folder.pem && head -c 200 a.pem > torn.pem
"#;

#[test]
fn a_certificate_that_is_of_no_use_is_told_at_its_line_before_anything_is_touched() {
    let namespace = Namespace::new();
    namespace.run(CERTIFICATES);
    for (certificate, key, words) in [
        ("missing.pem", "a.key", "missing.pem: No such file"),
        ("a.pem", "missing.key", "missing.key: No such file"),
        ("folder.pem", "a.key", "folder.pem: Is a directory"),
        ("nonsense.pem", "a.key", "nonsense.pem: there is no certificate in it: it must be PEM"),
        ("torn.pem", "a.key", "torn.pem: "),
        ("a.pem", "nonsense.pem", "nonsense.pem: there is no private key in it: it must be PEM, not encrypted"),
        ("a.pem", "locked.key", "locked.key: "),
        ("a.pem", "b.key", "b.key: the private key is not that of the certificate"),
        ("nobody.pem", "nobody.key", "nobody.pem: the certificate names nobody: add names"),
    ] {
        let tables = "[interface]\ntap = \"tap0\"\naddress = [\"192.0.2.2/24\"]\n[http]\ntls_listen = [443]\n[tls]\n";
        let tables = tables.replace("[interface]", "[[interface]]");
        let line = format!("certificates = [{{ certificate = \"{certificate}\", key = \"{key}\" }}]\n");
        namespace.write("wrong.toml", format!("{tables}{line}"));
        for command in ["check", "run --control control"] {
            let said = namespace.attempt(&format!("tapstack {command} --config wrong.toml"));
            assert_eq!(said.status, 2, "{certificate} {key}: {}", said.stderr);
            assert!(said.stderr.starts_with(&format!("tapstack: wrong.toml:7: {words}")), "{}", said.stderr);
            assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
        }
        assert!(namespace.attempt("ip link show tap0").status != 0, "there is a device");
    }
}

#[test]
fn a_maildir_that_can_not_be_made_costs_its_owner_a_moment_and_nobody_mail() {
    let namespace = Namespace::new();
    // A file is where the folder of all mail would be.
    namespace.write("mail", "");
    let lab = Lab::started(namespace, "[smtp]\ndomains = [\"example.org\"]\n", &[]);
    let send = "swaks --helo client.example --from b@example.com --to alice@example.org --body hello --server";
    let said = lab.attempt(&format!("{send} {DAEMON}"));
    assert!(said.status != 0 && said.stdout.contains("<** 451 4."), "{}", said.stdout);
    eventually("the reason in the log", || lab.daemon.log().contains("Not a directory"));
    let said = lab.attempt(&format!("curl -sSv -m 15 --user alice:wonderland pop3://{DAEMON}/"));
    assert!(said.status != 0 && said.stderr.contains("-ERR [SYS/"), "{}", said.stderr);
    // Once it is out of the way, mail comes without a restart.
    lab.run("rm mail");
    let said = lab.run(&format!("{send} {DAEMON}"));
    assert!(said.contains("250 2.0.0 delivered as"), "{said}");
    assert!(lab.run(&format!("curl -sS -m 15 --user alice:wonderland pop3://{DAEMON}/1")).contains("hello"));
}

#[test]
fn what_is_put_on_a_full_disk_is_refused_and_what_was_there_stays() {
    let namespace = Namespace::new();
    let _disk = SmallDisk::at(namespace.folder().join("www"));
    namespace.write("www/in/file", "as it was\n");
    let upload = "[http]\nroot = \"www\"\n[[http.upload]]\npath = \"/in\"\naccounts = [\"alice\"]\nlimit = \"4MiB\"\n";
    let lab = Lab::started(namespace, upload, &[]);
    lab.write("large", vec![b'x'; 1 << 20]);
    let put = |file: &str| {
        let to = format!("http://{DAEMON}/in/file");
        lab.run(&format!("curl -sS -u alice:wonderland -T {file} -o said -w '%{{http_code}}' {to}"))
    };
    assert_eq!(put("large"), "507");
    assert_eq!(lab.run(&format!("curl -sSf http://{DAEMON}/in/file")), "as it was\n");
    assert_eq!(lab.run("ls -A www/in"), "file\n", "what was refused takes no room");
    lab.write("small", "as it is\n");
    assert_eq!(put("small"), "204");
    assert_eq!(lab.run(&format!("curl -sSf http://{DAEMON}/in/file")), "as it is\n");
}

#[test]
fn an_account_that_a_full_disk_does_not_take_is_none_and_the_others_are_as_they_were() {
    let namespace = Namespace::new();
    let _disk = SmallDisk::at(namespace.folder().join("state"));
    let daemon = Daemon::start(&namespace, "daemon", &Lab::config(), &[]);
    let lab = Lab { daemon, namespace };
    let account = |words: &str| {
        let options = "--config daemon.toml --state state --control daemon.sock";
        lab.attempt(&format!("tapstack account {words} {options} <<< looking-glass"))
    };
    let said = account("add carol");
    assert_eq!(said.status, 0, "{}", said.stderr);
    lab.run("head -c 1M /dev/zero > state/filler || true");
    let said = account("add dave");
    assert_eq!((said.status, said.stderr.lines().count()), (1, 1), "{}", said.stderr);
    assert!(said.stderr.contains("the disk is full") && !said.stderr.contains("sudo"), "{}", said.stderr);
    let login =
        |name: &str| lab.attempt(&format!("curl -sS -m 15 --user {name}:looking-glass pop3://{DAEMON}/")).status;
    assert_eq!((login("carol"), login("dave")), (0, 67));
    lab.run("rm state/filler");
    assert_eq!(account("add dave").status, 0);
    eventually("dave can log in", || login("dave") == 0);
}
