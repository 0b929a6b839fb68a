use canary_rollout::{Plan, fleet::keys::KeyLog};

use super::*;

#[test]
fn a_batch_waits_for_the_step_of_its_monitors() {
    let plan = Plan::from_toml(
        "steps = [{ weight = '1%' }, { weight = '10%' }]
        monitors = [{ measure = 'cancelled' }, { measure = 'failures', from_step = 2 }]",
    );
    let mut judge = plan.unwrap().judge_by(Unit::Keys);
    let mut ledgers = KeyLedgers::empty(&judge, 7).unwrap();
    let failures = LedgerName::Adverse("failures".to_owned());
    let number = ledgers.names().iter().position(|name| *name == failures).unwrap();
    let mut log = KeyLog::new(1, ledgers.sample());
    let (channel, weight) = (Channel::Stable, Weight::from_percent(10));
    let number = u8::try_from(number).unwrap();
    log.add(KeyRecord { key: Some(21), channel, weight, ledgers: [number].into() });
    // The replica has begun the second step before this one.
    let (replica, published) = (ReplicaId::from_random(2), log.publish());
    for (step, known) in [(1, 0), (2, 1), (2, 1)] {
        ledgers.begin(&judge, &(judge.step() + 1..=step));
        judge.reach_step(step);
        ledgers.add(&judge, &replica, &published);
        assert_eq!(ledgers.max_known(), known, "in step {step}");
    }
}
