//! The proxies, and their configurations for a split of 95 to 5.
//!
//! Each has one worker, keeps the connections to the upstreams open, and writes no access log.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    child::{Process, free_address},
    load::Protocol,
};

/// A proxy in front of two servers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Proxy {
    Nginx,
    Haproxy,
    Envoy,
}

impl Proxy {
    pub(crate) const ALL: [Self; 3] = [Self::Nginx, Self::Haproxy, Self::Envoy];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }

    /// Returns the path of the program, if it is installed.
    pub(crate) fn program(self) -> Option<PathBuf> {
        let configured = env::var_os("ENVOY").filter(|_| self == Self::Envoy).map(PathBuf::from);
        let path = env::var_os("PATH").unwrap_or_default();
        // On Debian, /usr/sbin is only on the path of root.
        let on_path = env::split_paths(&path)
            .chain(["/usr/sbin".into(), Path::new(INSTALLED).to_owned()])
            .map(|directory| directory.join(self.name()));
        configured.or_else(|| on_path.into_iter().find(|program| program.is_file()))
    }

    /// Starts `program`. It sends 95% of the calls to `stable` and 5% to `canary`.
    pub(crate) fn start(
        self,
        program: &Path,
        protocol: Protocol,
        [stable, canary]: [SocketAddr; 2],
        directory: &Path,
    ) -> Result<Process> {
        let name = format!("{} {}", self.name(), protocol.name());
        let directory = directory.join(name.replace(' ', "-"));
        fs::create_dir(&directory)?;
        let address = free_address()?;
        let template = match (self, protocol) {
            (Self::Nginx, Protocol::Http) => include_str!("nginx.conf").replace("@SERVER@", NGINX),
            (Self::Nginx, Protocol::Grpc) => {
                include_str!("nginx.conf").replace("@SERVER@", NGINX_GRPC)
            }
            (Self::Haproxy, Protocol::Http) => include_str!("haproxy.cfg").replace("@PROTO@", ""),
            (Self::Haproxy, Protocol::Grpc) => {
                include_str!("haproxy.cfg").replace("@PROTO@", "proto h2")
            }
            (Self::Envoy, Protocol::Http) => include_str!("envoy.yaml").replace("@HTTP@", ENVOY),
            (Self::Envoy, Protocol::Grpc) => {
                include_str!("envoy.yaml").replace("@HTTP@", ENVOY_GRPC)
            }
        };
        let text = [("@PORT@", address), ("@STABLE@", stable), ("@CANARY@", canary)]
            .iter()
            .fold(template, |text, (placeholder, address)| {
                text.replace(placeholder, &address.port().to_string())
            });
        let file = directory.join(if self == Self::Envoy { "envoy.yaml" } else { "config" });
        fs::write(&file, text)?;
        let mut command = Command::new(program);
        match self {
            Self::Nginx => command.arg("-p").arg(&directory).arg("-c").arg(&file),
            Self::Haproxy => command.args(["-db", "-q", "-f"]).arg(&file),
            Self::Envoy => command
                .args(["--concurrency", "1", "--log-level", "warning", "--disable-hot-restart"])
                .arg("-c")
                .arg(&file),
        };
        Process::proxy(&name, &mut command, &directory, address)
    }
}

const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/proxies");
const NGINX: &str = r#"listen 127.0.0.1:@PORT@;
        location / {
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_pass http://$version;
        }"#;
const NGINX_GRPC: &str = "listen 127.0.0.1:@PORT@ http2;
        location / {
            grpc_pass grpc://$version;
        }";
const ENVOY: &str = "http_protocol_options: {}";
const ENVOY_GRPC: &str = "http2_protocol_options: {}";
