//! Validates single gates, probes and webhooks.

use std::{collections::BTreeMap, time::Duration};

use super::Check;
use crate::{
    event::EventKind,
    plan::{
        gate::{Gate, GateKind, NotifyTarget, Webhook},
        probe::{HttpProbe, Probe, ProbeKind},
        redact::origin,
    },
};

impl Check {
    pub(super) fn gates(&mut self, gates: &BTreeMap<String, Gate>) {
        self.at_most("gates", gates.len(), MAX_ENTRIES);
        for (name, gate) in gates {
            let field = format!("gates.{name}");
            self.name(&field, name);
            if let Some(deadline) = gate.deadline {
                self.above_zero(&format!("{field}.deadline"), deadline);
            }
            self.above_zero(&format!("{field}.every"), gate.every);
            match &gate.kind {
                GateKind::Webhook(hook) => self.webhook(&format!("{field}.kind.webhook"), hook),
                GateKind::Approval(who) => self.text(&format!("{field}.kind.approval"), who),
                GateKind::Function(name) => self.text(&format!("{field}.kind.function"), name),
            }
        }
    }

    pub(super) fn probes(&mut self, probes: &BTreeMap<String, Probe>) {
        self.at_most("probes", probes.len(), MAX_ENTRIES);
        for (name, probe) in probes {
            let field = format!("probes.{name}");
            self.name(&field, name);
            self.above_zero(&format!("{field}.every"), probe.every);
            self.above_zero(&format!("{field}.timeout"), probe.timeout);
            for (threshold, value) in [
                ("failure_threshold", probe.failure_threshold),
                ("success_threshold", probe.success_threshold),
            ] {
                if value == 0 {
                    self.fault(format!("{field}.{threshold}"), "expected at least 1 run, found 0");
                }
            }
            match &probe.kind {
                ProbeKind::Http(http) => self.http(&format!("{field}.kind.http"), http),
                ProbeKind::Function(name) => self.text(&format!("{field}.kind.function"), name),
                ProbeKind::GrpcHealth(_) => {}
            }
        }
    }

    fn http(&mut self, field: &str, http: &HttpProbe) {
        let HttpProbe { method, path, status } = http;
        if !path.starts_with('/') || path.len() > MAX_TEXT || !path.bytes().all(is_visible) {
            let message = format!("path {path:?}: expected a path such as \"/health\"");
            self.fault(format!("{field}.path"), message);
        }
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let message = format!("method {method:?}: expected a method such as \"GET\"");
            self.fault(format!("{field}.method"), message);
        }
        if status.is_empty() {
            self.fault(format!("{field}.status"), "expected at least one status, found none");
        }
        for (index, status) in status.iter().enumerate() {
            if !(100..=599).contains(status) {
                let message = format!("status {status}: expected 100 to 599");
                self.fault(format!("{field}.status[{index}]"), message);
            }
        }
    }

    pub(super) fn notify(&mut self, targets: &BTreeMap<String, NotifyTarget>) {
        self.at_most("notify", targets.len(), MAX_ENTRIES);
        for (name, target) in targets {
            let field = format!("notify.{name}");
            self.name(&field, name);
            self.webhook(&format!("{field}.webhook"), &target.webhook);
            for (index, event) in target.events.iter().enumerate() {
                if !EventKind::NAMES.contains(&event.as_str()) {
                    let expected = EventKind::NAMES.join(", ");
                    let message = format!("unknown event {event:?}: expected one of {expected}");
                    self.fault(format!("{field}.events[{index}]"), message);
                }
            }
        }
    }

    fn webhook(&mut self, field: &str, webhook: &Webhook) {
        let Webhook { url, timeout, secret_env, headers_env, .. } = webhook;
        if url.len() > MAX_TEXT || !url.bytes().all(is_visible) || !has_host_and_port(url) {
            let expected =
                "expected a URL with https:// or http://, a host, and a port of 1 to 65535";
            // What has no scheme may be a secret.
            let found = if url.contains("://") {
                format!("URL {:?}: ", origin(url))
            } else {
                String::new()
            };
            self.fault(format!("{field}.url"), found + expected);
        }
        self.above_zero(&format!("{field}.timeout"), *timeout);
        // Without the value, which may be a secret.
        let expected = "expected the name of an environment variable, not the secret itself";
        if secret_env.as_ref().is_some_and(|name| !is_variable(name)) {
            self.fault(format!("{field}.secret_env"), expected);
        }
        let field = format!("{field}.headers_env");
        if headers_env.len() > MAX_ENTRIES {
            let found = headers_env.len();
            self.fault(&*field, format!("expected at most {MAX_ENTRIES} headers, found {found}"));
        }
        for (header, variable) in headers_env {
            // Without the name, which may be a secret in the wrong place.
            if !is_header(header) {
                let expected = "expected names of headers in lower case, such as `authorization`";
                self.fault(&*field, expected);
            } else if OWN_HEADERS.contains(&header.as_str()) || header.starts_with("x-canary-") {
                self.fault(&*field, format!("the header `{header}` is set by the client itself"));
            } else if !is_variable(variable) {
                self.fault(format!("{field}.{header}"), expected);
            }
        }
    }

    pub(super) fn above_zero(&mut self, field: &str, duration: Duration) {
        if duration.is_zero() {
            self.fault(field, "expected a duration above zero, found 0s");
        }
    }

    pub(super) fn at_most(&mut self, field: &str, count: usize, max: usize) {
        if count > max {
            self.fault(field, format!("expected at most {max} {field}, found {count}"));
        }
    }

    fn name(&mut self, field: &str, name: &str) {
        if name.parse::<canary_core::CanaryName>().is_err() {
            let expected = "expected 1 to 63 characters of a-z, 0-9 and '-'";
            self.fault(field, format!("name {name:?}: {expected}"));
        }
    }

    fn text(&mut self, field: &str, text: &str) {
        if text.trim().is_empty() || text.len() > MAX_TEXT {
            self.fault(field, format!("{text:?}: expected 1 to {MAX_TEXT} bytes"));
        }
    }
}

/// Returns whether a URL has a known scheme, a host, and no port or a valid one. HTTP clients silently
/// replace an invalid port by the default one, and would send a signed request to another service.
fn has_host_and_port(url: &str) -> bool {
    let origin = origin(url);
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let Some(authority) = authority else { return false };
    let (host, port) = match authority.rsplit_once(':') {
        // The last colon is a part of an IPv6 address.
        Some((_, after)) if after.ends_with(']') => (authority, None),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    !host.is_empty() && port.is_none_or(is_port)
}

fn is_variable(name: &str) -> bool {
    name.len() <= MAX_TEXT
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.starts_with(|first: char| !first.is_ascii_digit())
}

fn is_header(name: &str) -> bool {
    let is_token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    !name.is_empty() && name.len() <= MAX_HEADER && name.bytes().all(is_token)
}

const fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

/// The maximum length of a text in bytes.
const MAX_TEXT: usize = 256;

/// The maximum number of gates, of probes and of receivers.
const MAX_ENTRIES: usize = 8;

/// The maximum length of the name of a header in bytes.
const MAX_HEADER: usize = 64;

/// The headers that describe the body and the connection.
const OWN_HEADERS: [&str; 11] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
