//! One operation of the document, as the types of its handler and its row in the table describe it.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::api::route::{Audience, Body, Route};

/// What a success carries.
#[derive(Debug, Default)]
pub(in crate::api) enum Content {
    /// The handler's type does not say: its row has to.
    #[default]
    Unknown,
    Empty,
    /// By media type.
    Of(Vec<(&'static str, Value)>),
}

/// What is known of one operation so far.
#[derive(Debug)]
pub(in crate::api) struct Operation<'s> {
    schemas: &'s mut Schemas,
    pub(in crate::api) details: Option<&'static str>,
    parameters: Vec<Value>,
    /// Schemas of the path's parameters, in their order.
    path: Vec<Value>,
    body: Option<Value>,
    statuses: Vec<u16>,
    content: Content,
    headers: Map<String, Value>,
    refusals: BTreeMap<u16, BTreeSet<&'static str>>,
}

impl<'s> Operation<'s> {
    pub(super) fn new(schemas: &'s mut Schemas) -> Self {
        Self {
            schemas,
            details: None,
            parameters: Vec::new(),
            path: Vec::new(),
            body: None,
            statuses: Vec::new(),
            content: Content::default(),
            headers: Map::new(),
            refusals: BTreeMap::new(),
        }
    }

    /// A parameter in a header. Optional unless `required`.
    pub(in crate::api) fn header(&mut self, name: &str, required: bool, about: &str) {
        self.parameters.push(json!({
            "name": name, "in": "header", "required": required, "description": about,
            "schema": {"type": "string"},
        }));
    }

    /// What the parameter that was named last looks like.
    pub(in crate::api) fn pattern(&mut self, pattern: &str) {
        if let Some(parameter) = self.parameters.last_mut() {
            parameter["schema"]["pattern"] = json!(pattern);
        }
    }

    /// The fields of `T` as parameters of the query.
    pub(super) fn query<T: JsonSchema>(&mut self) {
        let schema = self.schemas.inline::<T>();
        let fields = schema["properties"].as_object().into_iter().flatten();
        for (name, field) in fields {
            let mut field = field.clone();
            let about = field.as_object_mut().and_then(|f| f.remove("description"));
            self.parameters.push(json!({
                "name": name, "in": "query", "required": false, "description": about, "schema": field,
            }));
        }
    }

    /// The path's parameters: one of type `T`, or several when that is a tuple.
    pub(super) fn path<T: JsonSchema>(&mut self) {
        let schema = self.schemas.taken::<T>();
        self.path = match schema.get("prefixItems") {
            Some(Value::Array(several)) => several.clone(),
            _ => vec![schema],
        };
    }

    /// A JSON body.
    pub(in crate::api) fn takes<T: JsonSchema>(&mut self) {
        let schema = self.schemas.taken::<T>();
        self.takes_of("application/json", &schema);
    }

    pub(super) fn takes_bytes(&mut self) {
        let schema = json!({"type": "string", "format": "binary"});
        self.takes_of("application/octet-stream", &schema);
    }

    fn takes_of(&mut self, media: &str, schema: &Value) {
        self.body = Some(json!({"required": true, "content": {media: {"schema": schema}}}));
    }

    /// A JSON answer.
    pub(in crate::api) fn returns<T: JsonSchema>(&mut self) {
        let schema = self.schemas.given::<T>();
        self.content = Content::Of(vec![("application/json", schema)]);
    }

    /// An answer in this media type, beside what is known already.
    pub(in crate::api) fn returns_also(&mut self, media: &'static str) {
        let schema = json!({"type": "string"});
        match &mut self.content {
            Content::Of(known) => known.push((media, schema)),
            other => *other = Content::Of(vec![(media, schema)]),
        }
    }

    pub(super) fn returns_nothing(&mut self) {
        self.content = Content::Empty;
    }

    /// The statuses of success.
    pub(in crate::api) fn answers(&mut self, statuses: &[u16]) {
        self.statuses = statuses.to_vec();
    }

    /// A header of every success.
    pub(in crate::api) fn answers_header(&mut self, name: &str, about: &str) {
        let header = json!({"description": about, "schema": {"type": "string"}});
        self.headers.insert(name.to_owned(), header);
    }

    /// Problems that may be the answer, by their codes.
    pub(in crate::api) fn refuses(&mut self, status: u16, codes: &[&'static str]) {
        self.refusals.entry(status).or_default().extend(codes);
    }

    /// The operation as the document has it. Problems that it names are added to `problems`.
    pub(super) fn finish(mut self, route: &Route, problems: &mut Map<String, Value>) -> Value {
        self.refuses(500, &["INTERNAL", "NOT_RECORDED"]);
        self.refuses(503, &["STORE_UNAVAILABLE"]);
        if route.body == Body::Document {
            self.refuses(408, &["TIMEOUT"]);
        }
        let mut parameters = path_parameters(route.path, &self.path);
        parameters.append(&mut self.parameters);
        let mut responses = self.successes();
        for (status, codes) in &self.refusals {
            let name = problem(*status, codes, problems);
            let reference = format!("#/components/responses/{name}");
            responses.insert(status.to_string(), json!({"$ref": reference}));
        }
        let mut operation = json!({
            "operationId": operation_id(&route.method, route.path),
            "summary": route.summary,
            "tags": [route.tag],
            "security": security(route.audience),
            "responses": responses,
        });
        if let Some(details) = self.details {
            operation["description"] = json!(details);
        }
        if !parameters.is_empty() {
            operation["parameters"] = json!(parameters);
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        operation
    }

    fn successes(&mut self) -> Map<String, Value> {
        let mut responses = Map::new();
        for status in std::mem::take(&mut self.statuses) {
            let mut response = json!({"description": about_success(status)});
            if !self.headers.is_empty() {
                response["headers"] = json!(self.headers);
            }
            if let Content::Of(content) = &self.content
                && !matches!(status, 204 | 304)
            {
                let content = content.iter();
                let content: Map<_, _> = content
                    .map(|(media, schema)| ((*media).to_owned(), json!({"schema": schema})))
                    .collect();
                response["content"] = json!(content);
            }
            if !matches!(self.content, Content::Unknown) {
                responses.insert(status.to_string(), response);
            }
        }
        responses
    }
}

const fn about_success(status: u16) -> &'static str {
    match status {
        201 => "Made.",
        202 => "Taken, and not done yet.",
        204 => "Done; there is nothing to say.",
        206 => "The part that was asked for.",
        304 => "What you have is what there is.",
        _ => "As asked.",
    }
}

/// One response for all operations that refuse with the same codes.
fn problem(
    status: u16,
    codes: &BTreeSet<&'static str>,
    problems: &mut Map<String, Value>,
) -> String {
    let codes: Vec<_> = codes.iter().copied().collect();
    let name = format!("{status}.{}", codes.join("."));
    problems.entry(name.clone()).or_insert_with(|| {
        let narrowed = json!({"allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {"properties": {"status": {"const": status}, "code": {"enum": codes}}},
        ]});
        json!({
            "description": codes.join(", "),
            "content": {fleet_protocol::problem::CONTENT_TYPE: {"schema": narrowed}},
        })
    });
    name
}

fn path_parameters(path: &str, schemas: &[Value]) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?;
        name.strip_suffix('}')
    });
    let parameters = names.enumerate().map(|(place, name)| {
        let schema = schemas.get(place).cloned();
        json!({
            "name": name, "in": "path", "required": true,
            "schema": schema.unwrap_or_else(|| json!({"type": "string"})),
        })
    });
    parameters.collect()
}

/// `get_devices_id_why`
fn operation_id(method: &Method, path: &str) -> String {
    let words = path
        .trim_start_matches("/v1/")
        .split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    format!("{}_{}", method.as_str().to_lowercase(), words.join("_"))
}

fn security(audience: Audience) -> Value {
    match audience {
        Audience::Anyone => json!([]),
        Audience::Operator | Audience::Monitoring => json!([{"operator": []}]),
        Audience::Browser => json!([{"browser": []}]),
        Audience::Certificate => json!([{"certificate": []}]),
        Audience::Device => json!([
            {"certificate": [], "deviceToken": []},
            {"certificate": [], "deviceBearer": []},
        ]),
    }
}
