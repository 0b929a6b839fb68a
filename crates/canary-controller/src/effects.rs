use canary_rollout::{Answer, Event, Gate, Plan, Probe, ProbeOutcome};

/// What a plan asks of the world.
#[derive(Default)]
pub(crate) struct Effects {}

impl Effects {
    pub(crate) fn check(&self, _: &Plan) -> Result<(), String> {
        Ok(())
    }
    pub(crate) async fn run_probe(&self, _: &Probe) -> ProbeOutcome {
        ProbeOutcome::Passed
    }
    pub(crate) async fn ask_gate(&self, _: &Gate, _: &str) -> Option<Answer> {
        None
    }
    pub(crate) fn notify(&self, _: &str, _: &Event) {}
    pub(crate) async fn flush(&self) {}
}
