use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use canary_core::{Channel, Ratings, Weight};

use super::*;
use crate::{
    config::options::CanaryOptions,
    control::{ControlExt, handle::CanaryHandle},
    counting::counter_key::Scope,
    feedback::FeedbackOptions,
    select::Secret,
    service::layer::CanaryLayer,
};

const SECRET: &str = "6f1d0c5a9e784b3f8d2e71c4a5b60938";
const OTHER_SECRET: &str = "00000000000000000000000000000000";
const START: u64 = 1_700_000_000;
const ONE_PERCENT: Weight = Weight::from_percent(1);

/// A canary with a manual clock.
struct Replica {
    canary: CanaryHandle,
    second: Arc<AtomicU64>,
}

impl Replica {
    fn new(name: &str, change: impl FnOnce(FeedbackOptions) -> FeedbackOptions) -> Self {
        let second = Arc::new(AtomicU64::new(START));
        let clock = Arc::clone(&second);
        let feedback = FeedbackOptions::new().event("paid").clock(move || {
            SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed))
        });
        let options = CanaryOptions::new().canary_release("v2").feedback(change(feedback));
        let canary = CanaryLayer::with_options(name, (), options).handle();
        canary.set_weight(ONE_PERCENT).unwrap();
        Self { canary, second }
    }

    fn unsigned() -> Self {
        Self::new("shop", FeedbackOptions::unsigned)
    }

    fn signed() -> Self {
        Self::new("shop", |feedback| feedback.signed(&secret(SECRET)))
    }

    /// Issues a receipt for a canary call that is assigned at random now.
    fn receipt(&self) -> Receipt {
        let settings = self.canary.control().settings();
        let call = RatedCall {
            channel: Channel::Canary,
            scope: Scope::Evidence,
            weight: settings.weight,
            key: None,
        };
        self.canary.control().config().feedback.issue(&settings.salt, call)
    }

    fn complain(&self, receipt: &Receipt) -> Result<(), ReceiptError> {
        // The text is parsed again, as at a server.
        self.canary.rate_receipt(&receipt.to_string().parse().unwrap(), Rating::Bad)
    }

    fn complaints(&self, weight: Weight) -> u64 {
        let evidence = self.ratings().feedback.evidence().get(&weight).copied();
        evidence.unwrap_or_default().canary.adverse
    }

    fn ratings(&self) -> Ratings {
        self.canary.counts().ratings
    }

    fn wait(&self, seconds: u64) {
        self.second.fetch_add(seconds, Ordering::Relaxed);
    }
}

fn secret(text: &str) -> Secret {
    Secret::try_new(text).unwrap()
}

#[test]
fn a_receipt_counts_once_for_the_channel_and_the_weight_of_its_call() {
    for replica in [Replica::unsigned(), Replica::signed()] {
        let receipt = replica.receipt();
        replica.canary.set_weight(Weight::from_percent(50)).unwrap();
        assert_eq!(replica.complain(&receipt), Ok(()));
        assert_eq!(replica.complain(&receipt), Err(ReceiptError::Used));
        assert_eq!(replica.complaints(ONE_PERCENT), 1);
        assert_eq!(replica.ratings().feedback.total(Channel::Canary).total, 1);
    }
}

#[test]
fn a_receipt_counts_once_for_each_event_too() {
    let replica = Replica::signed();
    let receipt = replica.receipt();
    replica.complain(&receipt).unwrap();
    let pay = |event| replica.canary.rate_receipt_event(&receipt, event, Rating::Good);
    assert_eq!(pay("paid"), Ok(()));
    assert_eq!(pay("paid"), Err(ReceiptError::Used));
    let message = r#"unknown event "payed": the options name paid"#;
    assert_eq!(pay("payed").unwrap_err().to_string(), message);
    assert_eq!(replica.ratings().event("paid").unwrap().total(Channel::Canary).total, 1);
}

#[test]
fn another_replica_accepts_a_receipt_if_it_has_the_salt_and_the_secret() {
    let receipt = Replica::signed().receipt();
    let replica = Replica::signed();
    // This replica has never been at the weight of the other one.
    replica.canary.set_salt("another");
    replica.canary.set_weight(Weight::from_percent(7)).unwrap();
    assert_eq!(replica.complain(&receipt), Err(ReceiptError::OtherSalt));
    replica.canary.set_salt("shop:v2");
    assert_eq!(replica.complain(&receipt), Ok(()));
    assert_eq!(replica.complaints(ONE_PERCENT), 1);
}

#[test]
fn a_receipt_without_a_valid_signature_is_refused() {
    let replica = Replica::signed();
    let unsigned = Receipt { signature: None, ..replica.receipt() };
    let by_other = Replica::new("shop", |feedback| feedback.signed(&secret(OTHER_SECRET)));
    for forged in [unsigned, by_other.receipt(), Replica::unsigned().receipt()] {
        assert_eq!(replica.complain(&forged), Err(ReceiptError::Signature));
    }
    assert_eq!(Replica::unsigned().complain(&replica.receipt()), Err(ReceiptError::Signature));
    assert_eq!(replica.ratings().feedback.total(Channel::Canary).total, 0);
}

#[test]
fn changing_any_bit_invalidates_a_signed_receipt() {
    let replica = Replica::signed();
    let receipt = replica.receipt();
    let mut bytes = receipt.payload().to_vec();
    bytes.extend(receipt.signature.unwrap());
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let text = base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, changed);
        if let Ok(changed) = text.parse::<Receipt>() {
            assert_eq!(replica.complain(&changed), Err(ReceiptError::Signature), "bit {bit}");
        }
    }
    assert_eq!(replica.complain(&receipt), Ok(()));
}

#[test]
fn the_secret_can_be_changed_while_receipts_are_in_use() {
    let old = Replica::signed().receipt();
    let replica = Replica::new("shop", |feedback| {
        feedback.or_signed(&secret(SECRET)).signed(&secret(OTHER_SECRET))
    });
    assert_eq!(replica.complain(&old), Ok(()));
    assert_eq!(replica.complain(&replica.receipt()), Ok(()));
    assert_eq!(Replica::signed().complain(&replica.receipt()), Err(ReceiptError::Signature));
}

#[test]
fn every_secret_can_sign_receipts() {
    let secret = secret("0123456789abcdef");
    let replica = Replica::new("shop", |feedback| feedback.signed(&secret));
    assert_eq!(replica.complain(&replica.receipt()), Ok(()));
    assert_eq!(Replica::signed().complain(&replica.receipt()), Err(ReceiptError::Signature));
}

#[test]
fn a_receipt_from_another_canary_or_attempt_is_refused() {
    let replica = Replica::signed();
    let other = Replica::new("search", |feedback| feedback.signed(&secret(SECRET)));
    assert_eq!(replica.complain(&other.receipt()), Err(ReceiptError::OtherCanary));

    let receipt = replica.receipt();
    replica.canary.set_salt("shop:v2:2");
    assert_eq!(replica.complain(&receipt), Err(ReceiptError::OtherSalt));
    assert_eq!(replica.complain(&replica.receipt()), Ok(()));
}

#[test]
fn an_unsigned_receipt_with_an_unknown_weight_is_refused() {
    let replica = Replica::unsigned();
    let mut forged = replica.receipt();
    forged.call.weight = Weight::from_percent(2);
    let message = "weight 2% has not been in force with the current salt";
    assert_eq!(replica.complain(&forged).unwrap_err().to_string(), message);
    assert_eq!(replica.complain(&replica.receipt()), Ok(()));
}

#[test]
fn expired_and_future_receipts_are_refused() {
    let replica = Replica::new("shop", |feedback| feedback.max_age(Duration::from_secs(10)));
    let [early, late] = [replica.receipt(), replica.receipt()];
    replica.wait(10);
    assert_eq!(replica.complain(&early), Ok(()));
    replica.wait(1);
    let message = "the receipt is 11s old, the maximum is 10s";
    assert_eq!(replica.complain(&late).unwrap_err().to_string(), message);

    let ahead = replica.receipt();
    replica.second.fetch_sub(60, Ordering::Relaxed);
    assert_eq!(replica.complain(&ahead), Ok(()));
    replica.second.fetch_sub(1, Ordering::Relaxed);
    assert_eq!(replica.complain(&ahead), Err(ReceiptError::FromTheFuture));
}

#[test]
fn no_receipt_counts_twice_in_a_flood_of_receipts() {
    let max_age = Duration::from_secs(1024);
    let replica = Replica::new("shop", |feedback| feedback.remember(100).max_age(max_age));
    let receipts: Vec<_> = (0..10_000)
        .map(|number| {
            replica.second.store(START + number / 10, Ordering::Relaxed);
            replica.receipt()
        })
        .collect();
    for receipt in &receipts {
        assert_eq!(replica.complain(receipt), Ok(()));
    }
    for receipt in &receipts[..9_900] {
        assert_eq!(replica.complain(receipt), Err(ReceiptError::Forgotten));
    }
    for receipt in &receipts[9_900..] {
        assert_eq!(replica.complain(receipt), Err(ReceiptError::Used));
    }
    assert_eq!(replica.complaints(ONE_PERCENT), 10_000);
}

#[test]
fn the_receipt_of_a_tester_counts_as_excluded() {
    let replica = Replica::signed();
    let feedback = &replica.canary.control().config().feedback;
    let call = RatedCall {
        channel: Channel::Canary,
        scope: Scope::Excluded,
        weight: ONE_PERCENT,
        key: None,
    };
    let receipt = feedback.issue(&replica.canary.control().settings().salt, call);
    assert_eq!(replica.complain(&receipt), Ok(()));
    let ratings = replica.ratings().feedback;
    assert_eq!((ratings.excluded().canary.adverse, ratings.evidence().len()), (1, 0));
}
