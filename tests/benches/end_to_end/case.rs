//! The cases: a server, or a proxy with two servers, and its callers.

use std::{path::Path, rc::Rc};

use anyhow::{Context as _, Result, ensure};

use crate::{
    child::Process,
    load::{CALLERS, Callers, Protocol},
    proxy::Proxy,
    usage::{cpu_seconds, resident_mib},
};

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) subject: Subject,
    /// All processes that serve a call. Proxies share their upstreams, so only one case may run at
    /// a time.
    processes: Vec<Rc<Process>>,
    callers: Callers,
    pub(crate) rounds: Vec<Round>,
    calls: usize,
    from_canary: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Subject {
    /// A server without a canary.
    Direct,
    /// A server with the layer.
    Layer,
    /// A proxy in front of two servers.
    Proxy(Proxy),
}

/// The results of one round.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) calls_per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Per 100,000 calls.
    pub(crate) cpu_seconds: f64,
}

/// Returns the kinds, names and subjects of the servers of a protocol. The direct one is the first.
pub(crate) fn servers(protocol: Protocol) -> impl Iterator<Item = (String, String, Subject)> {
    let servers = [
        ("v1", "direct", Subject::Direct),
        ("v1", "direct, again", Subject::Direct),
        ("header", "canary, header tag", Subject::Layer),
        ("default", "canary, default tags", Subject::Layer),
        ("routes", "canary, Router::layer", Subject::Layer),
    ];
    let has_routes = protocol == Protocol::Http;
    servers.into_iter().filter(move |(kind, ..)| has_routes || *kind != "routes").map(
        move |(kind, name, subject)| {
            (
                format!("{} {kind}", protocol.name()),
                format!("{}: {name}", protocol.server()),
                subject,
            )
        },
    )
}

impl Case {
    /// Starts all cases of a protocol whose programs are installed. The direct server is the first.
    pub(crate) async fn all(protocol: Protocol, directory: &Path) -> Result<Vec<Self>> {
        let server = |kind: &str| Process::server(kind, directory).map(Rc::new);
        let mut cases = Vec::new();
        for (kind, name, subject) in servers(protocol) {
            cases.push(Self::new(name, subject, protocol, vec![server(&kind)?]).await?);
        }
        let direct = protocol.server();
        let [v1, v2] = ["v1", "v2"].map(|kind| server(&format!("{} {kind}", protocol.name())));
        let upstreams = [v1?, v2?];
        let addresses = [upstreams[0].address(), upstreams[1].address()];
        for proxy in Proxy::ALL {
            let Some(program) = proxy.program() else {
                println!("{}: SKIPPED, not installed ({direct})", proxy.name());
                continue;
            };
            let started = Rc::new(proxy.start(&program, protocol, addresses, directory)?);
            let processes = [&[started], &upstreams[..]].concat();
            let name = format!("{direct}: {}", proxy.name());
            cases.push(Self::new(name, Subject::Proxy(proxy), protocol, processes).await?);
        }
        Ok(cases)
    }

    async fn new(
        name: String,
        subject: Subject,
        protocol: Protocol,
        processes: Vec<Rc<Process>>,
    ) -> Result<Self> {
        let address = processes[0].address();
        let callers = Callers::connect(protocol, address, CALLERS).await.context(name.clone())?;
        let (rounds, calls, from_canary) = (Vec::new(), 0, 0);
        Ok(Self { name, subject, processes, callers, rounds, calls, from_canary })
    }

    /// Makes calls that are not measured.
    async fn warm_up(&mut self, calls: usize) -> Result<()> {
        self.callers.call(calls / CALLERS).await.context(self.name.clone())?;
        Ok(())
    }

    pub(crate) async fn measure(&mut self, calls: usize) -> Result<()> {
        // After the case of a proxy, caches are cold and the server is on another core.
        self.warm_up(calls / 4).await?;
        let before = self.cpu_seconds()?;
        let load = self.callers.call(calls / CALLERS).await.context(self.name.clone())?;
        let spent = self.cpu_seconds()? - before;
        let calls = load.latencies.len();
        self.calls += calls;
        self.from_canary += load.from_canary;
        let percentile = |percent: usize| load.latencies[calls * percent / 100].as_secs_f64() * 1e6;
        self.rounds.push(Round {
            calls_per_second: count(calls) / load.elapsed.as_secs_f64(),
            p50_us: percentile(50),
            p99_us: percentile(99),
            cpu_seconds: spent / count(calls) * 1e5,
        });
        Ok(())
    }

    fn cpu_seconds(&self) -> Result<f64> {
        cpu_seconds(self.processes.iter().map(|process| &**process))
    }

    pub(crate) fn resident_mib(&self) -> Result<f64> {
        resident_mib(self.processes.iter().map(|process| &**process))
    }

    /// Returns an error unless the canary's share matches the split.
    pub(crate) fn check_share(&self) -> Result<()> {
        let expected = if self.subject == Subject::Direct { 0.0 } else { 0.05 };
        let share = count(self.from_canary) / count(self.calls);
        // Five standard deviations. A correct split fails in less than one of a million runs.
        let tolerance = 5.0 * (expected * (1.0 - expected) / count(self.calls)).sqrt();
        ensure!(
            (share - expected).abs() <= tolerance,
            "{}: the canary served {} of {} calls, which is {:.2}% instead of {:.0}%",
            self.name,
            self.from_canary,
            self.calls,
            share * 1e2,
            expected * 1e2
        );
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few million calls at most")]
fn count(calls: usize) -> f64 {
    calls as f64
}
