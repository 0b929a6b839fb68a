use canary_api::CanaryView;
use canary_controller::Phase;

use crate::support::Shop;

#[tokio::test]
async fn every_replica_shows_the_fleet_and_takes_commands() {
    let first = Shop::new().await;
    let [second, third] = [first.replica().await, first.replica().await];
    first.begin(Phase::Running).await;
    for shop in [&first, &second, &third] {
        shop.until_fleet("3 of 3 replicas heard").await;
        let show = shop.ctl("show").run().await.expect(0);
        assert!(show.stdout.contains("3 of 3 replicas heard"), "{show:?}");
    }

    // A command at one replica is carried out at all of them.
    second.ctl("pause -m lunch").run().await.expect(0);
    for shop in [&first, &second, &third] {
        shop.until(Phase::Paused).await;
        let show = shop.ctl("show").run().await.expect(0);
        assert!(show.stdout.contains("lunch"), "{show:?}");
    }

    // One replica crashes.
    drop(third);
    first.until_fleet("2 of 3 replicas heard").await;
    let view: CanaryView = first.ctl("show -o json").run().await.expect(0).json();
    let silent = &view.fleet.unwrap().silent[0];
    for line in ["show", "show shop"] {
        let show = first.ctl(line).run().await.expect(0);
        let line = format!("2 of 3 replicas heard; silent: {silent}");
        assert!(show.stdout.contains(&line), "{show:?}");
    }

    second.ctl("roll-back -m slow").run().await.expect(0);
    first.until(Phase::RolledBack).await;
    assert_eq!(first.rollout.canary().weight().to_string(), "0%");
}
