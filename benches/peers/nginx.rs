//! nginx with one worker, as someone would set it up who wants static files fast.

use crate::lab::{Namespace, Running, eventually};
use crate::processor;
use std::path::Path;
use std::time::Duration;

/// A running nginx in a namespace. It has a folder and a configuration of its own.
pub struct Nginx(Running);

impl Nginx {
    /// Starts it on port 80 for the files of `root`, with `directives` beside the ordinary ones.
    pub fn start(namespace: &Namespace, root: &Path, directives: &str) -> Nginx {
        Nginx::listening(namespace, root, directives, "80")
    }

    /// Starts it on port 443, with TLS as `directives` say.
    pub fn start_secure(namespace: &Namespace, root: &Path, directives: &str) -> Nginx {
        Nginx::listening(namespace, root, directives, "443 ssl")
    }

    fn listening(namespace: &Namespace, root: &Path, directives: &str, at: &str) -> Nginx {
        let config = format!(
            "daemon off;
             user root;
             pid nginx.pid;
             error_log stderr warn;
             worker_processes 1;
             worker_rlimit_nofile 16384;
             events {{ worker_connections 8192; }}
             http {{
                 types {{ text/html html; }}
                 default_type application/octet-stream;
                 access_log off;
                 sendfile on;
                 tcp_nopush on;
                 {directives}
                 keepalive_requests 1000000000;
                 client_body_temp_path temporary;
                 proxy_temp_path temporary;
                 fastcgi_temp_path temporary;
                 uwsgi_temp_path temporary;
                 scgi_temp_path temporary;
                 server {{ listen {at} backlog=4096; root {}; }}
             }}",
            root.display()
        );
        namespace.write("nginx.conf", config);
        let folder = namespace.folder().display();
        let running = namespace.start(&format!("exec nginx -p {folder} -c {folder}/nginx.conf"));
        eventually("nginx listens", || namespace.run("ss -Hltn").contains(" 0.0.0.0:"));
        Nginx(running)
    }

    /// Processor time that it has used.
    pub fn processor_time(&self) -> Duration {
        processor::time_of_group(self.0.pid())
    }
}
