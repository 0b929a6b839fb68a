//! The shops of a fleet, and their load.

use std::{fs, mem, time::Duration};

use http::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{interval, timeout};

use super::{
    engine::Engine,
    load::{Answers, Load},
    support::{CANARY, Shop, TIMEOUT},
};

/// Shops that share a store.
pub(crate) struct Fleet {
    pub(crate) engine: Engine,
    pub(crate) replicas: Vec<Replica>,
    /// The answers of replicas that were killed or stopped.
    ended: Answers,
    /// The options of all shops, and those of the image that joining shops run.
    options: Vec<String>,
    image: Vec<String>,
    _plan: TempDir,
}

/// A shop, and its load.
pub(crate) struct Replica {
    pub(crate) shop: Shop,
    pub(crate) load: Load,
}

impl Fleet {
    /// Starts shops with a plan, and waits until all of them have its first weight. They get no calls
    /// until their load is resumed.
    pub(crate) async fn start(engine: Engine, size: usize, plan: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("plan.toml");
        fs::write(&file, plan).unwrap();
        let url = engine.url();
        let own = ["--stay", "--store", &url, "--plan", file.to_str().unwrap()];
        let [options, image] = [&own, options].map(owned);
        let (replicas, ended) = (Vec::new(), Answers::default());
        let mut fleet = Self { engine, replicas, ended, options, image, _plan: directory };
        for _ in 0..size {
            fleet.join().await;
        }
        fleet
            .wait_until("all have the first weight", |views| {
                views.iter().all(|view| view["phase"] == "running" && view["weight"] != "0%")
            })
            .await;
        fleet
    }

    /// Ships another image: shops that join from now on have these options.
    pub(crate) fn ship(&mut self, image: &[&str]) {
        self.image = owned(image);
    }

    /// Starts one more shop, of the image that was shipped last.
    pub(crate) async fn join(&mut self) {
        let options: Vec<_> = self.options.iter().chain(&self.image).map(String::as_str).collect();
        let shop = Shop::start(&options).await;
        let load = Load::new(&shop.addr, CALLS_PER_SECOND);
        self.replicas.push(Replica { shop, load });
    }

    pub(crate) async fn views(&self) -> Vec<Value> {
        let mut views = Vec::new();
        for replica in &self.replicas {
            views.push(replica.shop.view().await);
        }
        views
    }

    /// Waits until the views of the replicas are such.
    pub(crate) async fn wait_until(&self, what: &str, are_awaited: impl Fn(&[Value]) -> bool) {
        let mut poll = interval(Duration::from_millis(50));
        let mut last = Vec::new();
        let awaited = async {
            loop {
                poll.tick().await;
                last = self.views().await;
                if are_awaited(&last) {
                    break;
                }
            }
        };
        if timeout(TIMEOUT, awaited).await.is_err() {
            let seen: Vec<_> =
                last.iter().map(|it| (&it["summary"], &it["fleet"], evidence(it))).collect();
            panic!("{what}: {seen:#?}");
        }
    }

    /// Waits until each replica says this about the fleet.
    pub(crate) async fn wait_for_sentence(&self, sentence: &str) {
        self.wait_until(sentence, |views| {
            views.iter().all(|view| view["fleet"]["sentence"] == sentence)
        })
        .await;
    }

    /// Returns the position of the replica that drives the rollout, after one does.
    pub(crate) async fn driver(&self) -> usize {
        self.wait_until("one drives", |views| driver(views).is_some()).await;
        driver(&self.views().await).expect("the driver stays")
    }

    pub(crate) fn resume(&self) {
        self.replicas.iter().for_each(|replica| replica.load.resume());
    }

    pub(crate) async fn pause(&mut self) {
        for replica in &mut self.replicas {
            replica.load.pause().await;
        }
    }

    /// Returns what all replicas have answered, also those that have ended.
    pub(crate) fn answers(&self) -> Answers {
        self.replicas.iter().map(|it| it.load.answers()).fold(self.ended, |sum, it| sum + it)
    }

    /// Waits until each replica shows exactly the answers of all as the evidence. The load has to be
    /// paused.
    pub(crate) async fn wait_for_exact_evidence(&self) {
        let Answers { stable, canary, .. } = self.answers();
        self.wait_until(&format!("the evidence is of {stable} and {canary} calls"), |views| {
            views.iter().all(|view| evidence(view) == Some((stable, canary)))
        })
        .await;
    }

    /// Kills a replica with SIGKILL.
    pub(crate) async fn kill(&mut self, index: usize) {
        let Replica { mut shop, load } = self.replicas.remove(index);
        shop.process.kill().await.unwrap();
        self.ended = mem::take(&mut self.ended) + load.answers();
    }

    /// Stops a replica with SIGTERM, after its last call.
    pub(crate) async fn stop(&mut self, index: usize) {
        self.replicas[index].load.pause().await;
        self.signal(index, Signal::TERM);
        let Replica { mut shop, load } = self.replicas.remove(index);
        timeout(TIMEOUT, shop.process.wait()).await.expect("the shop should end").unwrap();
        self.ended = mem::take(&mut self.ended) + load.answers();
    }

    /// Gives a command to a replica.
    pub(crate) async fn command(&self, index: usize, command: Value) {
        let response = self.replicas[index].shop.command(&command).await;
        assert_eq!(response.status, StatusCode::OK, "{command}: {}", response.text);
    }

    /// Returns the stored events of the rollout, as a replica knows them.
    pub(crate) async fn events(&self, index: usize) -> Vec<Value> {
        let path = format!("{CANARY}/events?most=4096");
        serde_json::from_str(&self.replicas[index].shop.get(&path).await.text).unwrap()
    }

    /// Stops the process of a replica without telling it, or continues it.
    pub(crate) fn signal(&self, index: usize, signal: Signal) {
        let id = self.replicas[index].shop.process.id().expect("the shop runs");
        let id = Pid::from_raw(id.try_into().unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }
}

fn owned(options: &[&str]) -> Vec<String> {
    options.iter().map(|&option| option.to_owned()).collect()
}

/// Returns the position of the replica that drives, if all agree about it.
pub(crate) fn driver(views: &[Value]) -> Option<usize> {
    let names = || views.iter().map(|view| &view["driver"]["name"]);
    let is_agreed = names().all(|name| name.is_string() && name == &views[0]["driver"]["name"]);
    let position = views.iter().position(|view| view["driver"]["is_this"] == true)?;
    is_agreed.then_some(position)
}

/// Returns the calls of stable and of the canary that the judge has compared.
pub(crate) fn evidence(view: &Value) -> Option<(u64, u64)> {
    let findings = view["judgment"]["findings"].as_array()?;
    let failures = findings.iter().find(|finding| finding["monitor"] == "failures")?;
    let of = |channel: &str| failures["trials"][channel].as_u64();
    Some((of("stable")?, of("canary")?))
}

/// So few that three shops and their load leave a core idle.
const CALLS_PER_SECOND: u32 = 100;
