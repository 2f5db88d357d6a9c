//! The schemas of the document: one for each type, or two where a type is read otherwise than it is written (a field
//! that may be left out of a request always stands in an answer).

use std::collections::BTreeSet;

use schemars::generate::{Contract, SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

const GIVEN: &str = "#/components/schemas/";
/// For as long as it is not known whether what is taken is what is given.
const TAKEN: &str = "#/components/taken/";

#[derive(Debug)]
pub(in crate::api) struct Schemas {
    takes: SchemaGenerator,
    gives: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let generator = |path: &'static str, contract| {
            let settings = SchemaSettings::draft2020_12();
            let settings = settings.with(|settings| {
                settings.definitions_path = path.trim_start_matches('#').into();
                settings.meta_schema = None;
                settings.contract = contract;
            });
            settings.into_generator()
        };
        Self {
            takes: generator(TAKEN, Contract::Deserialize),
            gives: generator(GIVEN, Contract::Serialize),
        }
    }

    /// Of what a request brings.
    pub(super) fn taken<T: JsonSchema>(&mut self) -> Value {
        value(self.takes.subschema_for::<T>())
    }

    /// Of what an answer brings.
    pub(super) fn given<T: JsonSchema>(&mut self) -> Value {
        value(self.gives.subschema_for::<T>())
    }

    /// Of what a request brings, without a name of its own.
    pub(super) fn inline<T: JsonSchema>(&mut self) -> Value {
        value(T::json_schema(&mut self.takes))
    }

    /// Puts all schemas into `document`, and mends its references to them.
    pub(super) fn finish(mut self, document: &mut Value) {
        let taken = self.takes.take_definitions(true);
        let mut schemas = self.gives.take_definitions(true);
        let different = different(&taken, &schemas);
        for (name, mut schema) in taken {
            settle(&mut schema, &different);
            schemas.insert(settled(&name, &different), schema);
        }
        settle(document, &different);
        schemas.sort_keys();
        document["components"]["schemas"] = Value::Object(schemas);
        tidy(document);
    }
}

/// Descriptions are the types' own comments: on one line, and without links to code.
fn tidy(value: &mut Value) {
    match value {
        Value::Array(several) => several.iter_mut().for_each(tidy),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "description" => {
                        let plain = text.replace("[`", "`").replace("`]", "`");
                        *text = join_lines(&plain);
                    }
                    field => tidy(field),
                }
            }
        }
        _ => {}
    }
}

/// Lines of one paragraph become one; paragraphs stay apart.
fn join_lines(text: &str) -> String {
    let paragraphs = text.split("\n\n");
    let joined = paragraphs.map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
    joined.collect::<Vec<_>>().join("\n\n")
}

fn value(schema: Schema) -> Value {
    schema.to_value()
}

/// The names of types whose two schemas differ, be it only in what they refer to.
fn different(taken: &Map<String, Value>, given: &Map<String, Value>) -> BTreeSet<String> {
    let none = BTreeSet::new();
    let mut different = BTreeSet::new();
    loop {
        let before = different.len();
        for (name, schema) in taken {
            let Some(other) = given.get(name) else {
                continue;
            };
            let mut settled = schema.clone();
            settle(&mut settled, &none);
            if settled != *other || refers_to_any(schema, &different) {
                different.insert(name.clone());
            }
        }
        if different.len() == before {
            return different;
        }
    }
}

fn refers_to_any(schema: &Value, names: &BTreeSet<String>) -> bool {
    match schema {
        Value::String(text) => text
            .strip_prefix(TAKEN)
            .is_some_and(|name| names.contains(name)),
        Value::Array(several) => several.iter().any(|s| refers_to_any(s, names)),
        Value::Object(fields) => fields.values().any(|s| refers_to_any(s, names)),
        _ => false,
    }
}

fn settled(name: &str, different: &BTreeSet<String>) -> String {
    let suffix = if different.contains(name) {
        "Input"
    } else {
        ""
    };
    format!("{name}{suffix}")
}

/// Lets references to what is taken point to where it ends up.
fn settle(schema: &mut Value, different: &BTreeSet<String>) {
    match schema {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix(TAKEN) {
                *text = format!("{GIVEN}{}", settled(name, different));
            }
        }
        Value::Array(several) => several.iter_mut().for_each(|s| settle(s, different)),
        Value::Object(fields) => fields.values_mut().for_each(|s| settle(s, different)),
        _ => {}
    }
}
