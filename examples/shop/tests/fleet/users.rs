//! A monitor that counts users counts each of them once, whichever replicas serve it.

use std::ops::Range;

use http::Request;

use super::{
    engine::Kind,
    replicas::{Fleet, evidence},
    support::Shop,
};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_count_each_user_once_with_a_directory() {
    counts_each_user_once(Kind::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_count_each_user_once_with_etcd() {
    counts_each_user_once(Kind::Etcd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_count_each_user_once_with_postgres() {
    counts_each_user_once(Kind::Postgres).await;
}

async fn counts_each_user_once(kind: Kind) {
    let Some(engine) = kind.start("counts each user once") else { return };
    let mut fleet = Fleet::start(engine, 3, PLAN, &["--sticky-users", "1000"]).await;
    let mut known = Users::default();

    // Each replica has users of its own, and some that all of them serve.
    for (index, replica) in fleet.replicas.iter().enumerate() {
        known.add(&replica.shop, index * 20..(index + 1) * 20).await;
    }
    known.add(&fleet.replicas[0].shop, 60..100).await;
    for replica in &fleet.replicas[1..] {
        call_again(&replica.shop, 60..100).await;
    }
    wait_for(&fleet, &known).await;

    // The driver is killed. Its users call the others, together with new ones.
    let driver = fleet.driver().await;
    fleet.kill(driver).await;
    fleet.join().await;
    for replica in &fleet.replicas {
        call_again(&replica.shop, 0..100).await;
    }
    known.add(&fleet.replicas[0].shop, 100..120).await;
    wait_for(&fleet, &known).await;
}

/// The users of each channel.
#[derive(Default)]
struct Users {
    stable: u64,
    canary: u64,
}

impl Users {
    /// Lets users call a shop for the first time.
    async fn add(&mut self, shop: &Shop, users: Range<usize>) {
        for user in users {
            match channel(shop, user).await.as_str() {
                "canary" => self.canary += 1,
                _ => self.stable += 1,
            }
        }
    }
}

/// Lets users call a shop that have called before.
async fn call_again(shop: &Shop, users: Range<usize>) {
    for user in users {
        channel(shop, user).await;
    }
}

async fn channel(shop: &Shop, user: usize) -> String {
    let request =
        Request::get(format!("http://{}/products/1", shop.addr)).header("x-user-id", user);
    let response = shop.send(request, "").await;
    response.headers["x-canary-channel"].to_str().unwrap().to_owned()
}

async fn wait_for(fleet: &Fleet, Users { stable, canary }: &Users) {
    fleet
        .wait_until(&format!("the evidence is of {stable} and {canary} users"), |views| {
            views.iter().all(|view| evidence(view) == Some((*stable, *canary)))
        })
        .await;
}

const PLAN: &str = r#"
steps = [{ weight = "50%", min_duration = "10h", deadline = "20h" }]
monitors = [{ measure = "failures" }]
"#;
