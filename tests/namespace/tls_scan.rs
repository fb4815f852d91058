//! What a scanner says of TLS: sslyze, by Mozilla's profiles. `scripts/test` installs it; `scripts/soak --tls-scan` has
//! testssl.sh as well, which takes minutes.

use crate::lab::{DAEMON, Lab, Namespace, binary};
use std::path::{Path, PathBuf};

/// Where `scripts/test` puts it, beside the program under test; or in the path.
fn sslyze() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?.join("sslyze/bin/sslyze");
    let beside = binary().parent()?.parent()?.join("sslyze/bin/sslyze");
    let path = std::env::var_os("PATH")?;
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("sslyze"));
    [target, beside].into_iter().chain(in_path).find(|place| place.is_file())
}

fn scan(profile: &str) {
    let Some(sslyze) = sslyze() else {
        eprintln!("sslyze is not here: scripts/test installs it");
        return;
    };
    let namespace = Namespace::new();
    namespace.write("www/index.html", "<h1>the lab</h1>\n");
    let tables = format!("[http]\nroot = \"www\"\ntls_listen = [443]\n[tls]\nprofile = \"{profile}\"\n");
    let daemon = crate::lab::Daemon::start(&namespace, "daemon", &format!("{}{tables}", Lab::config()), &[]);
    let lab = Lab { daemon, namespace };
    lab.run("tapstack certificate export --config daemon.toml --state state > authority.pem");
    let said = lab.attempt(&format!(
        "{} --mozilla_config={profile} --certinfo_ca_file=authority.pem {DAEMON}:443",
        sslyze.display()
    ));
    let verdict = said.stdout.split_once("COMPLIANCE").map_or(&*said.stdout, |(_, verdict)| verdict);
    assert!(said.status == 0 && verdict.contains("OK - Compliant"), "{verdict}{}", said.stderr);
}

#[test]
fn the_intermediate_profile_is_mozillas() {
    scan("intermediate");
}

#[test]
fn the_modern_profile_is_mozillas() {
    scan("modern");
}
