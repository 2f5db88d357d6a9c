//! The schemas of types that check themselves: whatever a schema lets through, its parser accepts.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::str::FromStr;

use fleet_protocol::{
    AssetId, BatchId, CommandId, Compatible, DeviceId, EventId, PlaylistId, PlaylistItemId,
    RoleName, RolloutId, Sha256, SlotId, TargetId, TenantId, TokenId, UnitName, UploadId, VenueId,
    Version,
};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use schemars::{JsonSchema, schema_for};

fn check<T: JsonSchema + FromStr>() {
    let schema = schema_for!(T).to_value();
    let pattern = schema["pattern"].as_str().unwrap();
    let longest = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
    let whole = pattern.strip_prefix('^').and_then(|p| p.strip_suffix('$'));
    let texts = string_regex(whole.unwrap()).unwrap();
    let mut runner = TestRunner::deterministic();
    for _ in 0..500 {
        let text = texts.new_tree(&mut runner).unwrap().current();
        if text.len() as u64 <= longest {
            assert!(text.parse::<T>().is_ok(), "{}: {text}", T::schema_name());
        }
    }
}

#[test]
fn what_a_pattern_lets_through_is_accepted() {
    check::<AssetId>();
    check::<BatchId>();
    check::<CommandId>();
    check::<Compatible>();
    check::<DeviceId>();
    check::<EventId>();
    check::<PlaylistId>();
    check::<PlaylistItemId>();
    check::<RoleName>();
    check::<RolloutId>();
    check::<Sha256>();
    check::<SlotId>();
    check::<TargetId>();
    check::<TenantId>();
    check::<TokenId>();
    check::<UnitName>();
    check::<UploadId>();
    check::<VenueId>();
    check::<Version>();
}
