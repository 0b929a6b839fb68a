use canary_tests::{
    deployment::{Deployment, Mount},
    outcomes::{Outcomes, final_outcomes},
    skip::skip,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tower_canary::Channel;

use crate::python::Python;

#[tokio::test]
async fn grpcio_gets_the_requested_share_and_is_counted() {
    const CALLS: u64 = 400;
    let python = match Python::with_packages().await {
        Ok(python) => python,
        Err(reason) => return skip("grpcio", reason),
    };
    let mounts = [Mount::Server, Mount::OnePort].map(async |mount| {
        share(python, mount, CALLS).await;
        kinds(python, mount).await;
        failures(python, mount).await;
        cancellations(python, mount).await;
    });
    join_all(mounts).await;
}

async fn share(python: &Python, mount: Mount, calls: u64) {
    // Five standard deviations, of ten calls each, around 50%.
    for (weight, allowed) in [("0%", 0..=0), ("50%", 150..=250), ("100%", calls..=calls)] {
        let deployment = mount.start().await;
        deployment.handle().set_weight(weight.parse().unwrap()).unwrap();

        let seen = run(python, &deployment, &["share", &calls.to_string()]).await;

        let seen = Channel::ALL.map(|channel| seen[channel.as_str()].as_u64().unwrap());
        assert_eq!(seen[0] + seen[1], calls);
        assert!(allowed.contains(&seen[1]), "{} of {calls} at {weight}, {mount:?}", seen[1]);
        assert_eq!(final_outcomes(deployment.handle()).await, seen.map(Outcomes::success));
    }
}

async fn kinds(python: &Python, mount: Mount) {
    let deployment = mount.start().await;
    for channel in Channel::ALL {
        deployment.send_all_to(channel);
        let name = channel.as_str();
        let call =
            |channels: &[&str]| json!({"tag": name, "channels": channels, "metadata": "hello"});
        let calls = [call(&[name]), call(&[name]), call(&[name; 3]), call(&[name; 2])];
        assert_eq!(run(python, &deployment, &["kinds"]).await, json!(calls), "{mount:?}");
    }
    assert_eq!(final_outcomes(deployment.handle()).await, [Outcomes::success(4); 2], "{mount:?}");
}

async fn failures(python: &Python, mount: Mount) {
    let deployment = mount.start().await;
    for channel in Channel::ALL {
        deployment.send_all_to(channel);
        for (code, name) in [("5", "NOT_FOUND"), ("14", "UNAVAILABLE")] {
            let seen = run(python, &deployment, &["failures", code]).await;
            assert_eq!(seen, json!([name, name]), "{mount:?}");
        }
    }
    let counted = Outcomes { failure: 2, ..Outcomes::success(2) };
    assert_eq!(final_outcomes(deployment.handle()).await, [counted; 2], "{mount:?}");
}

/// Calls that the caller ends, by a deadline or by cancelling.
async fn cancellations(python: &Python, mount: Mount) {
    let deployment = mount.start().await;
    // Deadlines count for methods that stable serves.
    deployment.send_all_to(Channel::Stable);
    run(python, &deployment, &["share", "1"]).await;
    for channel in Channel::ALL {
        deployment.send_all_to(channel);
        let seen = run(python, &deployment, &["deadline", "8"]).await;
        // tonic enforces the deadline until the head, with its own status code.
        assert!(["DEADLINE_EXCEEDED", "CANCELLED"].contains(&seen[0].as_str().unwrap()), "{seen}");
        assert_eq!(seen[1], "DEADLINE_EXCEEDED", "{mount:?}");
        assert_eq!(run(python, &deployment, &["cancel"]).await, json!(channel.as_str()));
    }
    // A caller who has seen its channel in the head could leave on one channel only. So the stream
    // counts as cancelled, though its deadline has passed.
    let counted = Outcomes { failure: 1, ..Outcomes::cancelled(2) };
    let stable = Outcomes { success: 1, ..counted };
    assert_eq!(final_outcomes(deployment.handle()).await, [stable, counted], "{mount:?}");
}

async fn run(python: &Python, deployment: &Deployment, command: &[&str]) -> Value {
    let address = deployment.server().address().to_string();
    python.run("echo.py", &[&[address.as_str()], command].concat()).await
}
