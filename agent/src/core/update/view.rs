//! What others see of the engine.
use super::{Engine, Situation};
use fleet_protocol::update::UpdateState;
use fleet_protocol::why::WhyTrace;

impl Engine {
    /// The state as it is reported and shown.
    pub fn view(&self, _situation: &Situation) -> UpdateState {
        UpdateState::Idle
    }

    /// Why is the target not running yet? The device's part of the answer.
    pub fn why(&self, _situation: &Situation) -> WhyTrace {
        WhyTrace {
            summary: String::new(),
            steps: Vec::new(),
        }
    }
}
