//! Visitors that log in and out.

use axum::{Router, extract::Path, response::AppendHeaders, routing::get};
use canary_tests::{Client, final_counts};
use http::header::SET_COOKIE;
use tower_canary::{Channel, select::Sticky};

use crate::shop::{HALF, Shop, Visitor, assignment_of, channel_of_key, signed_cookie};

/// Uses the user's id if there is one, and a cookie issued by the layer otherwise.
fn key_chain() -> Sticky {
    Sticky::by_cookie("user").or_issue(signed_cookie())
}

fn accounts() -> Router {
    let log_in = async |Path(user): Path<String>| {
        AppendHeaders([(SET_COOKIE, format!("user={user}; Path=/; HttpOnly"))])
    };
    let log_out = async || AppendHeaders([(SET_COOKIE, "user=; Path=/; Max-Age=0")]);
    Router::new().route("/login/{user}", get(log_in)).route("/logout", get(log_out))
}

#[tokio::test]
async fn the_channel_changes_only_at_login_and_logout() {
    let shop = Shop::open_with("v2", key_chain(), accounts());
    shop.handle.set_weight(HALF).unwrap();
    let mut changed = 0;
    for number in 0..40 {
        let user = format!("user-{number}");
        let [(_, computer), (_, phone)] = Client::of_each_version(&shop.server);
        let (mut computer, mut phone) = (Visitor::new(computer), Visitor::new(phone));

        let as_visitor = assignment_of(&computer.get("/").await).0;
        for _ in 0..3 {
            assert_eq!(assignment_of(&computer.get("/").await), (as_visitor, "sticky"));
        }
        let as_user = channel_of_key("shop:v2", &user, HALF);
        for visitor in [&mut computer, &mut phone] {
            visitor.get(&format!("/login/{user}")).await;
            for _ in 0..3 {
                assert_eq!(assignment_of(&visitor.get("/").await), (as_user, "sticky"));
            }
        }
        computer.get("/logout").await;
        for _ in 0..3 {
            assert_eq!(assignment_of(&computer.get("/").await), (as_visitor, "sticky"));
        }
        changed += u32::from(as_visitor != as_user);
    }
    // Half of 40 users, with five standard deviations of three users.
    assert!((4..=36).contains(&changed), "{changed} users changed the channel");
    let counts = final_counts(&shop.handle).await;
    assert_eq!(counts.total(Channel::Canary).failure, 0);
}
