//! Each mistake with the line it is reported on, the defaults, and that the documentation lists every key.

use super::*;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxMjM0$JeCzFw9fXkkYQyhuLwNYtbzMmJyFHb5yT2cMsPKhQ0E";

/// The configuration of `text`, checked, as if it stood in `lab.toml`.
fn read(text: &str) -> Result<Config, String> {
    let source = Source { path: Some("lab.toml".into()), text: text.to_owned() };
    let config = Config::parse(text).map_err(|error| source.mistake(error.span(), error.message()).to_string())?;
    config.validate(&source).map_err(|mistake| mistake.to_string())?;
    Ok(config)
}

/// The message about `text`, which stands from line 4 on, behind a good interface.
fn complaint_behind_an_interface(text: &str) -> String {
    read(&format!("[[interface]]\ntap = \"tap0\"\naddress = [\"192.0.2.2/24\"]\n{text}")).unwrap_err()
}

#[track_caller]
fn assert_complaint(text: &str, line: usize, words: &str) {
    let complaint = complaint_behind_an_interface(text);
    assert!(complaint.starts_with(&format!("lab.toml:{line}: ")), "{complaint}");
    assert!(complaint.contains(words), "{complaint}");
}

#[test]
fn the_defaults_are_a_configuration_without_mistakes() {
    let config = Config::without_file();
    config.validate(&Source::none()).unwrap();
    assert_eq!(config.control_path(), Path::new("/run/tapstack/tap0.sock"));
    let printed = config.to_toml();
    let again = read(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(again.to_toml(), printed, "what `check` prints is a configuration");
}

#[test]
fn the_example_of_every_table_is_read() {
    let config = read(&format!(
        r#"
        [daemon]
        control = "lab.sock"
        grace = "2s"
        [[interface]]
        tap = "tap0"
        mac = "02:00:00:00:00:02"
        address = ["192.0.2.2/24", "198.51.100.2/31"]
        host = "192.0.2.1/24"
        mtu = 9000
        offload = false
        queues = 1
        [[interface]]
        tap = "tap0"
        vlan = 7
        address = ["203.0.113.2/24"]
        [[route]]
        to = "0.0.0.0/0"
        via = "192.0.2.1"
        metric = 5
        [[route]]
        to = "10.0.0.0/8"
        interface = "tap0.7"
        [[neighbour]]
        address = "192.0.2.9"
        mac = "02:00:00:00:00:09"
        [forwarding]
        enabled = true
        [tcp]
        keepalive = "1m"
        user_timeout = 0
        send_buffer = "256KiB"
        [http]
        listen = [80, "192.0.2.2:8080"]
        [pop3]
        maildir = "mail/{{user}}"
        allow_plaintext_auth = false
        [smtp]
        listen = [25, "192.0.2.2:2525"]
        lmtp_listen = [24]
        submission_listen = [587]
        submission_tls_listen = [465]
        domains = ["example.org", "[192.0.2.2]"]
        postmaster = "alice"
        [[account]]
        name = "alice"
        password = "{HASH}"
        scram = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        [small]
        chargen = []
        "#
    ))
    .unwrap();
    assert_eq!(config.interfaces[1].name(), "tap0.7");
    assert_eq!(config.taps(), ["tap0"]);
    assert_eq!(config.interfaces[0].effective_mac().to_string(), "02:00:00:00:00:02");
    assert_eq!(config.tcp.user_timeout.if_any(), None);
    let small = config.small.unwrap();
    assert_eq!(small.echo[0].as_ref(), &Listen::Port(7));
    assert!(small.chargen.is_empty());
    assert!(read("[[interface]]\ntap = \"t\"\naddress = [\"10.0.0.1/8\"]").unwrap().small.is_none());
}

#[test]
fn what_one_interface_says_of_queues_holds_for_all() {
    let queues = |first: &str, second: &str| {
        let interface = |number, queues| {
            format!("[[interface]]\ntap = \"tap{number}\"\naddress = [\"10.{number}.0.1/16\"]\n{queues}\n")
        };
        read(&(interface(1, first) + &interface(2, second))).unwrap().queues()
    };
    assert_eq!(queues("", ""), 1);
    assert_eq!(queues("", "queues = 3"), 3);
    assert_eq!(queues("queues = 3", "queues = 3"), 3);
    assert!((1..=MAX_QUEUES).contains(&queues("queues = \"auto\"", "")));
}

#[test]
fn a_derived_mac_is_stable_local_and_different_for_each_tap() {
    let mac = |tap: &str| Interface::new(tap).effective_mac();
    assert_eq!(mac("tap0"), mac("tap0"));
    assert_ne!(mac("tap0"), mac("tap1"));
    assert_eq!(mac("tap0").0[0], 0x02);
}

#[test]
fn unknown_keys_and_tables_are_refused_where_they_stand() {
    assert_complaint("[dhcp]\npool = \"x\"", 4, "unknown field `dhcp`");
    assert_complaint("mtuu = 5", 4, "unknown field `mtuu`");
    assert_complaint("[http]\nlisten = [80]\ncolour = 1", 6, "unknown field `colour`");
}

#[test]
fn values_of_the_wrong_type_are_refused_where_they_stand() {
    assert_complaint("mtu = \"big\"", 4, "expected u32");
    assert_complaint("[http]\nlisten = [0]", 5, "a port from 1 to 65535");
    assert_complaint("[http]\nlisten = [\"nowhere\"]", 5, "an address and port such as");
    assert_complaint("[daemon]\ngrace = \"soon\"", 5, "not a length of time");
    assert_complaint("[tcp]\nsend_buffer = \"lots\"", 5, "not a number of bytes");
    assert_complaint("mac = \"02:00\"", 4, "not a MAC address");
    assert_complaint("host = \"192.0.2.1\"", 4, "invalid");
    assert_complaint("[[route]\n", 4, "");
}

#[test]
fn mistakes_of_an_interface_are_reported_where_they_stand() {
    assert_complaint("mac = \"01:00:00:00:00:02\"", 4, "group address");
    assert_complaint("mac = \"00:00:00:00:00:00\"", 4, "no address");
    assert_complaint("mtu = 67", 4, "68 to 65535");
    assert_complaint("mtu = 70000", 4, "68 to 65535");
    assert_complaint("queues = 0", 4, "1 to 64");
    assert_complaint("queues = 65", 4, "1 to 64");
    assert_complaint("queues = \"many\"", 4, "\"auto\"");
    let other = "queues = 2\n[[interface]]\ntap = \"tap1\"\naddress = [\"198.51.100.2/24\"]\nqueues = 3";
    assert_complaint(other, 8, "differ in queues");
    assert_complaint("vlan = 4095", 4, "1 to 4094");
    assert_complaint("vlan = 3\nhost = \"192.0.2.1/24\"", 5, "without vlan");
    assert_complaint("host = \"192.0.2.2/24\"", 3, "given twice");
    assert_complaint("[[interface]]\ntap = \"tap0\"\naddress = [\"192.0.2.3/24\"]", 5, "configured twice");
    assert_complaint("[[interface]]\ntap = \"a/b\"", 5, "name of a TAP");
    assert_complaint("[[interface]]\ntap = \"a-name-that-is-too-long\"", 5, "15 bytes");
    assert_complaint("[[interface]]\ntap = \"tap1\"", 5, "has no address");
    for (address, words) in [
        ("192.0.2.0/24", "the network itself"),
        ("192.0.2.255/24", "broadcast"),
        ("224.0.0.1/24", "no host's"),
        ("127.0.0.1/8", "loopback"),
        ("0.1.2.3/8", "this network"),
        ("10.0.0.1/0", "prefix length"),
        ("2001:db8::1/64", "IPv6"),
    ] {
        assert_complaint(&format!("[[interface]]\ntap = \"tap1\"\naddress = [\"{address}\"]"), 6, words);
    }
    assert_complaint(
        "mac = \"02:00:00:00:00:05\"\n[[interface]]\ntap = \"tap1\"\nmac = \"02:00:00:00:00:05\"\naddress = [\"10.0.0.1/8\"]",
        7,
        "same MAC",
    );
    assert!(read("").unwrap_err().starts_with("lab.toml:1: there is no [[interface]]"));
}

#[test]
fn mistakes_of_routes_and_neighbours_are_reported_where_they_stand() {
    assert_complaint("[[route]]\nto = \"0.0.0.0/0\"\nvia = \"10.0.0.1\"", 6, "not on the network");
    assert_complaint("[[route]]\nto = \"0.0.0.0/0\"\nvia = \"192.0.2.2\"", 6, "our own");
    assert_complaint("[[route]]\nto = \"10.0.0.1/8\"\nvia = \"192.0.2.1\"", 5, "write 10.0.0.0/8");
    assert_complaint("[[route]]\nto = \"10.0.0.0/8\"", 5, "leads nowhere");
    assert_complaint("[[route]]\nto = \"10.0.0.0/8\"\ninterface = \"tap7\"", 6, "no interface `tap7`");
    assert_complaint("[[route]]\nto = \"::/0\"\nvia = \"192.0.2.1\"", 6, "different address families");
    assert_complaint("[[neighbour]]\naddress = \"10.0.0.1\"\nmac = \"02:00:00:00:00:01\"", 5, "not on the network");
    assert_complaint("[[neighbour]]\naddress = \"192.0.2.9\"\nmac = \"03:00:00:00:00:01\"", 6, "group address");
}

#[test]
fn mistakes_of_smtp_are_reported_where_they_stand() {
    for (text, line, words) in [
        ("[smtp]\nlmtp_listen = [25]\nlisten = []", 5, "port 25"),
        ("[smtp]\nsubmission_listen = [587]\n[tls]\nstarttls = false", 5, "allow_plaintext_auth"),
        (
            "[smtp]\nsubmission_listen = [465]\nsubmission_tls_listen = [465]",
            6,
            "submissions listens on 465 and so does",
        ),
        ("[smtp]\ndomains = [\"example.org\",\n\"not a domain\"]", 6, "no domain"),
        ("[smtp]\nhost = \"[192.0.2.2]\"", 5, "mail.example.org"),
        ("[smtp]\npostmaster = \"alice\"", 5, "no account"),
        ("[smtp]\nmaildir = \"mail\"", 5, "{user}"),
        ("[pop3]\n[smtp]\nmaildir = \"post/{user}\"", 6, "pop3 looks into `mail/{user}`"),
        ("[smtp]\nmessage_size = \"1KiB\"", 5, "64KiB"),
        ("[smtp]\nrecipients = 9", 5, "100"),
        ("[smtp]\nlisten = [25, 25]", 5, "smtp listens on 25 and so does smtp"),
    ] {
        assert_complaint(text, line, words);
    }
    let account = format!("[[account]]\nname = \"a\"\npassword = \"{HASH}\"\nscram = \"secret\"");
    assert_complaint(&account, 7, "--scram");
}

#[test]
fn mistakes_of_services_are_reported_where_they_stand() {
    let text = "[pop3]\nlisten = [110]\nallow_plaintext_auth = false\n[tls]\nstarttls = false";
    assert_complaint(text, 5, "nobody could log in");
    assert_complaint("[http]\nlisten = [80]\n[pop3]\nlisten = [80]", 7, "pop3 listens on 80 and so does http");
    assert_complaint("[pop3]\nlisten = [80]\n[http]\nlisten = [\"192.0.2.2:80\"]", 7, "http listens on 192.0.2.2:80");
    assert_complaint("[http]\nlisten = [\"10.0.0.1:80\"]", 5, "not an address of an interface");
    assert_complaint("[http]\nroot = \"/does/not/exist\"", 5, "not a directory");
    assert_complaint("[pop3]\nmaildir = \"mail\"", 5, "put {user} in it");
    assert_complaint("[tcp]\nreceive_buffer = 1", 5, "4KiB to 1GiB");
    assert_complaint("[[account]]\nname = \"alice\"\npassword = \"secret\"", 6, "tapstack password");
    assert_complaint("[[account]]\nname = \"../eve\"\npassword = \"x\"", 5, "can't be an account");
    let account = format!("[[account]]\nname = \"alice\"\npassword = \"{HASH}\"\n");
    assert_complaint(&format!("{account}{account}"), 8, "given twice");
}

#[test]
fn mistakes_of_sites_are_reported_where_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.html"), "x").unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let root = format!("[http]\nroot = \"{}\"\n", folder.path().display());
    let account = format!("[[account]]\nname = \"alice\"\npassword = \"{HASH}\"\n");
    for (text, line, words) in [
        ("index = [\"a/b\"]", 6, "no name of a file"),
        ("fallback = \"nowhere.html\"", 6, "no file nowhere.html under the root"),
        ("error_pages = { 200 = \"page.html\" }", 6, "no status of an error"),
        ("error_pages = { 404 = \"nowhere.html\" }", 6, "no file nowhere.html"),
        ("compression = [\"lzw\"]", 6, "unknown variant `lzw`"),
        ("media_types = { x = \"text\" }", 6, "no media type for .x"),
        ("headers = { \"Content-Length\" = \"1\" }", 6, "not yours to set"),
        ("headers = { X = \"a\\nb\" }", 6, "can't be set so"),
        ("[http.cors]\norigins = [\"app.example\"]", 7, "no origin"),
        ("[[http.redirect]]\nfrom = \"old\"\nto = \"/new\"", 7, "does not begin with a slash"),
        ("[[http.redirect]]\nfrom = \"/*/old\"\nto = \"/new\"", 7, "only stand at the end"),
        ("[[http.redirect]]\nfrom = \"/old\"\nto = \"/*\"", 8, "takes one at the end of `from`"),
        ("[[http.redirect]]\nfrom = \"/old\"\nto = \"/a b\"", 8, "no place to go to"),
        ("[[http.redirect]]\nfrom = \"/old\"\nto = \"/new\"\nstatus = 200", 9, "is no redirect"),
        ("[[http.proxy]]\npath = \"/x\"\nto = \"http://backend:80\"", 8, "write an address, not a name"),
        ("[[http.proxy]]\npath = \"/x\"\nto = [\"http://192.0.2.9\", \"https://192.0.2.9\"]", 8, "https is not spoken"),
        ("[[http.proxy]]\npath = \"/x\"", 7, "nobody answers here"),
        ("[[http.proxy]]\nto = \"http://192.0.2.9\"", 7, "has no path"),
        ("[[http.proxy]]\npath = \"x\"\nto = \"http://192.0.2.9\"", 7, "does not begin with a slash"),
        ("[[http.proxy]]\npath = \"/x\"\nto = 7", 8, "or several such in brackets"),
        ("[[http.proxy]]\npath = \"/x\"\nto = \"http://192.0.2.9\"\nconnections = 0", 9, "1 at least"),
        ("[[http.protect]]\npath = \"/x\"\naccounts = [\"../eve\"]", 8, "can't be an account"),
        ("[[http.upload]]\npath = \"/in\"\naccounts = []", 7, "everybody's"),
        ("[[http.upload]]\npath = \"/out\"\naccounts = [\"alice\"]", 7, "not a directory"),
        ("[[http.upload]]\npath = \"/in\"", 6, "missing field `accounts`"),
        ("[[http.site]]\nnames = [\"A.example\"]", 7, "lower case"),
        ("[[http.site]]\nnames = [\"a.example:80\"]", 7, "without a port"),
        ("[[http.site]]\nnames = [\"a\", \"b\"]\n[[http.site]]\nnames = [\"b\"]", 9, "given to two sites"),
        ("[[http.site]]\nnames = [\"a\"]\nroot = \"/does/not/exist\"", 8, "not a directory"),
        ("[[http.site]]\nnames = [\"a\"]\n[[http.site.protect]]\npath = \"x\"", 9, "does not begin with a slash"),
        ("[http.log]\nfile = \"/does/not/exist/log\"", 7, "in no directory that exists"),
        ("[http.log]\nfile = \"log\"\nformat = \"xml\"", 8, "unknown variant `xml`"),
    ] {
        assert_complaint(&format!("{root}{text}"), line, words);
    }
    let good = format!(
        "{account}{root}fallback = \"page.html\"\nheaders = {{ X-A = \"b\" }}\n[[http.protect]]\npath = \"/in\"\n\
         [[http.upload]]\npath = \"/in\"\naccounts = [\"alice\"]\n[[http.redirect]]\nfrom = \"/*\"\nto = \"https://{{host}}/*\"\n\
         [[http.site]]\nnames = [\"*.example.org\", \"[2001:db8::1]\"]\n"
    );
    let config = read(&format!("[[interface]]\ntap = \"t\"\naddress = [\"10.0.0.1/8\"]\n{good}")).unwrap();
    let printed = config.to_toml();
    assert_eq!(read(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}")).to_toml(), printed);
}

#[test]
fn the_same_port_on_different_addresses_is_no_mistake() {
    read(
        "[[interface]]\ntap = \"tap0\"\naddress = [\"192.0.2.2/24\", \"192.0.2.3/24\"]\n\
         [http]\nlisten = [\"192.0.2.2:80\"]\n[pop3]\nlisten = [\"192.0.2.3:80\"]",
    )
    .unwrap();
}

#[test]
fn paths_are_relative_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("www")).unwrap();
    let path = folder.path().join("lab.toml");
    let text = "[[interface]]\ntap = \"tap0\"\naddress = [\"192.0.2.2/24\"]\n[http]\nroot = \"www\"\n[pop3]\n";
    std::fs::write(&path, text).unwrap();
    let (config, source) = Config::load(&path).unwrap();
    config.validate(&source).unwrap();
    assert_eq!(config.http.unwrap().root.unwrap().into_inner(), folder.path().join("www"));
    assert_eq!(config.pop3.unwrap().maildir.into_inner(), folder.path().join("mail/{user}"));
}

/// Keys of a table as its struct says them: those of a value with everything filled in.
fn keys(value: &toml::Value, place: &str, found: &mut Vec<String>) {
    let toml::Value::Table(table) = value else { return };
    for (key, value) in table {
        let inner = match value {
            toml::Value::Array(items) => items.first().unwrap_or(value),
            value => value,
        };
        if inner.is_table() {
            keys(inner, &format!("{place}{key}."), found);
        } else {
            found.push(format!("{place}{key}"));
        }
    }
}

#[test]
fn every_key_stands_in_the_documentation() {
    let mut config = Config::without_file();
    config.daemon.control = Some("x".into());
    config.daemon.pcap = Some("x".into());
    let all = "root = \"x\"\nfallback = \"x\"\nerror_pages.STATUS = \"x\"\nmedia_types.ENDING = \"x\"\nheaders.NAME = \"x\"\n\
        [cors]\norigins = [\"x\"]\n[[redirect]]\nfrom = \"x\"\nto = \"x\"\n[[protect]]\npath = \"x\"\nroles = [\"x\"]\n\
        [[upload]]\npath = \"x\"\naccounts = [\"x\"]\n[[proxy]]\npath = \"x\"\nto = \"x\"\n";
    config.http = Some(
        toml::from_str(&format!("client_burst = 1\nstate_page_role = \"x\"\n{all}[log]\nfile = \"x\"\n")).unwrap(),
    );
    config.http.as_mut().unwrap().sites.push(toml::from_str(&format!("names = [\"x\"]\n{all}")).unwrap());
    config.daemon.state = Some("x".into());
    let path = || unwritten(std::path::PathBuf::from("x"));
    config.tls.certificates = vec![TlsCertificate { certificate: path(), key: path(), names: vec!["x".into()] }];
    config.tls.names = vec![unwritten("x".into())];
    config.tls.client_ca = Some(path());
    config.tls.key_log = Some("x".into());
    let interface = &mut config.interfaces[0];
    interface.mac = Some(unwritten(Mac([2; 6])));
    interface.up = Some(true);
    interface.vlan = Some(unwritten(1));
    interface.queues = Some(unwritten(Queues::Auto));
    let net = "10.0.0.0/8".parse().unwrap();
    let address = IpAddr::from([10, 0, 0, 1]);
    config.routes.push(Route {
        to: unwritten(net),
        via: Some(unwritten(address)),
        interface: Some(unwritten("tap0".into())),
        metric: 1,
    });
    config.neighbours.push(Neighbour { address: unwritten(address), mac: unwritten(Mac([2; 6])) });
    config.accounts.push(Account {
        name: unwritten("alice".into()),
        password: unwritten(HASH.into()),
        scram: Some(unwritten("x".into())),
        roles: vec![unwritten("admin".into())],
        services: Some(vec![crate::session::rights::Service::Web]),
    });
    let smtp = config.smtp.as_mut().unwrap();
    smtp.host = Some(unwritten("mail.example.org".into()));
    smtp.postmaster = Some(unwritten("alice".into()));
    smtp.maildir = Some(unwritten("x".into()));
    let congestion = Some(Algorithm::NewReno);
    config.http.as_mut().unwrap().congestion = congestion;
    config.pop3.as_mut().unwrap().congestion = congestion;
    config.smtp.as_mut().unwrap().congestion = congestion;
    config.small.as_mut().unwrap().congestion = congestion;
    config.http.as_mut().unwrap().fast_open = Some(true);
    config.small.as_mut().unwrap().fast_open = Some(true);
    let key = "peer = \"192.0.2.9/32\"\nsend_id = 1\nreceive_id = 2\nkey = \"secret\"";
    config.tcp.keys.push(toml::from_str(key).unwrap());
    assert!(!config.to_toml().contains("\"secret\""), "what is shown shows no secrets");
    let mut found = Vec::new();
    keys(&toml::Value::try_from(&config).unwrap(), "", &mut found);
    assert!(found.len() > 40, "{found:?}");

    let documentation = include_str!("../../../docs/configuration.md");
    let documented: Vec<&str> = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|key| key.contains('.'))
        .collect();
    // The keys of a site are documented once.
    let found: Vec<String> = found
        .into_iter()
        .map(|key| match key.strip_prefix("http.site.") {
            Some(own) if own != "names" => format!("http.{own}"),
            _ => key,
        })
        .collect();
    for key in &found {
        assert!(documented.contains(&key.as_str()), "docs/configuration.md has no line for `{key}`");
    }
    for key in &documented {
        assert!(
            found.iter().any(|found| found == key),
            "docs/configuration.md documents `{key}`, which does not exist"
        );
    }
}
