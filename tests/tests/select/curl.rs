use std::{io, path::Path};

use canary_tests::skip::skip;
use tokio::process::Command;
use tower_canary::select::{IssuedCookie, Sticky};

use crate::shop::{HALF, Shop, signed_cookie};

#[tokio::test]
async fn curls_cookie_jar_keeps_the_channel() {
    for cookie in [IssuedCookie::new("canary_id"), signed_cookie()] {
        let shop = Shop::open(Sticky::by_issued(cookie));
        shop.handle.set_weight(HALF).unwrap();
        let mut channels = [0; 2];
        for _ in 0..24 {
            let directory = tempfile::tempdir().unwrap();
            let jar = directory.path().join("jar");
            let mut first = None;
            for call in 0..3 {
                let Some(answer) = curl(&shop, &jar).await else {
                    return skip("curl", "`curl` is not on the PATH");
                };
                let first_line = answer.lines().next().unwrap().to_owned();
                assert!(first_line.ends_with(" sticky"), "{first_line}");
                assert_eq!(
                    *first.get_or_insert_with(|| first_line.clone()),
                    first_line,
                    "call {call}"
                );
                assert_eq!(answer.contains("cookie: canary_id="), call > 0, "{answer}");
            }
            channels[usize::from(first.unwrap().starts_with("canary"))] += 1;
        }
        // All 24 jars are on one channel once in eight million runs.
        assert!(channels.iter().all(|jars| *jars > 0), "{channels:?}");
    }
}

/// Calls curl in a new process, which shares only the cookie jar with the others.
async fn curl(shop: &Shop, jar: &Path) -> Option<String> {
    let mut curl = Command::new("curl");
    curl.args(["--disable", "--noproxy", "*", "--silent", "--show-error", "--max-time", "60"]);
    curl.arg("--cookie-jar").arg(jar).arg("--cookie").arg(jar);
    curl.arg(format!("http://{}/", shop.server.address()));
    let output = match curl.kill_on_drop(true).output().await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}
