//! The public records: what goes in (events, items, users), what is asked (queries, filters) and what comes out
//! (answers). Plain data with serde, JSON Schema and validation; no room of the engine is needed to make one.

mod answer;
mod audit;
mod condition;
mod diversity;
mod effort;
mod event;
mod experiment;
mod exposure;
mod filter;
mod id;
mod item;
mod key;
mod object;
mod query;
mod rule;
mod scenario;
mod tenant;
mod time;
mod user;
mod value;

pub use answer::{
    Answer, AppliedScenario, Because, BeforeItem, Degraded, Evidence, ListKind, Neighbour, Prior, RecommendedItem,
    SearchTrace, SearchWay, Source,
};
pub use audit::AuditEntry;
pub use condition::{
    Bound, Condition, CountRange, HasIdCondition, IsEmptyCondition, KeyName, Match, MatchCondition, Range,
    RangeCondition, ValuesCountCondition,
};
pub(crate) use condition::{CATEGORIES, TIME};
pub use diversity::{CalibrationTo, Diversity, MaxPer};
pub use effort::Effort;
pub use event::Event;
pub use experiment::{
    Correction, Ending, Experiment, ExperimentDesign, ExperimentState, Guardrail, MetricDefinition, MetricKind, PARTS,
    RampStep, Slots, StopPolicy, Variant,
};
pub use exposure::{Assignment, Exposure, Shown};
pub use filter::Filter;
pub use id::{DenseId, ItemId, MAX_ID_BYTES, SnapshotId, UserId, validate_id};
pub use item::{Item, ItemPatch};
pub use key::{ApiKey, KeyDesign, KeyKind, KeyState, NewKey, Scope, Token, validate_origin};
pub(crate) use object::from_object;
pub use query::{
    ExcludeSeen, Likeness, ListQuery, Query, RankQuery, SeenPolicy, SessionItem, SimilarQuery, VectorQuery,
};
pub use rule::{Boost, FilterRule, FrequencyCap, MaxPerRule, Pin, RuleSpec, Slot, WithinRule};
pub use scenario::{EditorialList, Scenario, ScenarioVersion, SourceKind, SourceShare, validate_scenario_name};
pub use tenant::TenantName;
pub use time::{Span, Timestamp};
pub use user::{User, UserPatch};
pub use value::{Attributes, Value};
