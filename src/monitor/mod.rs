//! Watching what goes in and what comes out: how far events, features, scores and vectors have drifted from those that the
//! snapshot was trained on ([`drift`]), alarms that do not flutter ([`alarm`]), when to train again ([`policy`]), what a new
//! snapshot must show before it answers ([`gate`]), and whether people take to it once it does ([`watch`]). All of it is pure:
//! portraits, numbers and the time are given. Reading the log, training and switching are for `engine`; telling the world is for
//! `server`.

mod alarm;
mod calibration;
mod distance;
mod drift;
mod gate;
mod policy;
mod probe;
mod watch;

pub use alarm::{Alarms, Alert};
pub use calibration::{Calibration, Impression, calibration_error};
pub use drift::{Beside, DriftReport, Drifted, differences, silence, top_correlation};
pub use gate::{Check, Decision, DecisionKind, judge_lists};
pub use policy::{Facts, Reason, reason, retry_after};
pub use probe::probe;
pub use watch::{ClickRate, Outcomes, Watch, judge};
