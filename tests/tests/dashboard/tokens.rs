use std::{fs, path::Path};

use canary_admin::Access;

use crate::process::{IS_LIVE, Process, button, open_browser};

/// Two operators with the tokens "token of ada" and "token of eve".
fn access(directory: &Path) -> Access {
    let file = directory.join("tokens");
    let tokens = "\
ada:operate:5e665c2529d23459848b46a03b9232de3c057d2a8635a613d4557f58d311f352
eve:view:85f5a43f91c797be956f29acfd5efd362fe044b9ecdf371aef7007c548681ccf
";
    fs::write(&file, tokens).unwrap();
    Access::tokens(file).unwrap()
}

#[tokio::test]
async fn a_token_is_asked_for_and_limits_the_buttons() {
    let shop = Process::start_with(access).await;
    let Some(mut page) = open_browser().await else { return };
    page.load(&shop.url("/canary/#/shop")).await;
    page.wait_for("document.querySelector('dialog #token')").await;
    page.type_text("wrong").await;
    page.press("Enter", 13).await;
    page.wait_for("document.querySelector('dialog [role=alert]')?.innerText").await;
    page.type_text("token of eve").await;
    page.press("Enter", 13).await;
    page.wait_for(IS_LIVE).await;

    assert_eq!(page.evaluate("document.querySelector('#who').firstChild.data").await, "eve · view");
    let refused = page.evaluate(&format!("{}.ariaDisabled", button("roll_back"))).await;
    assert_eq!(refused, "true");
    assert_eq!(page.evaluate("document.querySelector('#variables').hidden").await, true);
    assert_eq!(page.evaluate("document.body.innerHTML.includes('backend')").await, false);
    assert_eq!(
        page.evaluate("localStorage.length + document.cookie").await,
        "1",
        "the theme alone"
    );
}
