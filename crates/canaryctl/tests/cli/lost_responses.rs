use canary_controller::Phase;

use crate::support::{PLAN, Shop, ShopOptions};

#[tokio::test]
async fn a_command_whose_response_is_lost_is_carried_out_once() {
    let options = ShopOptions { loses_response: true, ..ShopOptions::new(PLAN) };
    let shop = Shop::with_options(options).await;
    shop.begin(Phase::Running).await;
    let ended = shop.ctl("restart --yes -m again").run().await.expect(0);
    assert!(ended.stderr.contains("asking again"), "{ended:?}");
    assert!(ended.stdout.contains("localhost"), "{ended:?}");
    let restarts = shop.history().await.into_iter().filter(|event| event.contains("again"));
    assert_eq!(restarts.count(), 1);
}

#[tokio::test]
async fn a_command_without_a_reason_is_known_again() {
    let options = ShopOptions { loses_response: true, ..ShopOptions::new(PLAN) };
    let shop = Shop::with_options(options).await;
    shop.begin(Phase::Running).await;
    let ended = shop.ctl("promote --yes").run().await.expect(0);
    assert!(ended.stderr.contains("asking again"), "{ended:?}");
    let promotions = shop.history().await.into_iter().filter(|event| event.contains("promoted"));
    assert_eq!(promotions.count(), 1);
}

#[tokio::test]
async fn a_rollback_whose_response_is_lost_is_given_again() {
    let options = ShopOptions { loses_response: true, ..ShopOptions::new(PLAN) };
    let shop = Shop::with_options(options).await;
    shop.begin(Phase::Running).await;
    let ended = shop.ctl("roll-back").run().await.expect(0);
    assert!(ended.stdout.contains("nothing has changed: "), "{ended:?}");
    assert_eq!(shop.phase(), Phase::RolledBack);
}
