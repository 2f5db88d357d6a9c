//! Configuration documents: checked whole before a device gets to see them.

use fleet_protocol::config::{ConfigError, IMAGE_DEFAULTS, Layer, merge};
use serde_json::{Map, Value};

/// The scope that every device has.
pub const DEFAULT_SCOPE: &str = "default";

/// Checks the fleet's document and a device's own, merged over the image's defaults.
pub fn check(layers: &[(&str, &Map<String, Value>)]) -> Result<(), ConfigError> {
    let mut all = vec![Layer::parse("the image's defaults", IMAGE_DEFAULTS)?];
    for (name, document) in layers {
        all.push(Layer::from_json(name, document)?);
    }
    merge(&all).map(|_| ())
}

/// `device` over `default`, tables key by key, as devices merge their own layers.
pub fn merged(default: &Map<String, Value>, device: &Map<String, Value>) -> Map<String, Value> {
    let mut into = default.clone();
    for (key, value) in device {
        match (into.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => *below = merged(below, above),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
    into
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(json: Value) -> Map<String, Value> {
        let Value::Object(map) = json else {
            panic!("not an object: {json}")
        };
        map
    }

    #[test]
    fn the_stronger_document_wins_key_by_key() {
        let default = document(serde_json::json!({"control": {"a": 1, "b": 2}, "role": "x"}));
        let device = document(serde_json::json!({"control": {"b": 3}}));
        assert_eq!(
            Value::Object(merged(&default, &device)),
            serde_json::json!({"control": {"a": 1, "b": 3}, "role": "x"})
        );
    }

    #[test]
    fn a_bad_value_is_named_with_its_field_and_document() {
        let bad = document(serde_json::json!({"control": {"heartbeat_interval_s": 1}}));
        let error = check(&[("the document", &bad)]).unwrap_err();
        assert!(
            error.to_string().contains("control.heartbeat_interval_s"),
            "{error}"
        );
        assert!(error.to_string().contains("the document"), "{error}");
    }

    #[test]
    fn an_empty_document_is_fine() {
        check(&[("the document", &Map::new())]).unwrap();
    }
}
