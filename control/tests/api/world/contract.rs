//! Holds what is said over HTTP in any of these tests against the document at `/v1/openapi.json`: every answer's status
//! is listed for its route, every JSON body fits its schema, and so does every request that succeeded.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use fleet_control::api::document;
use jsonschema::{Registry, Resource, Validator};
use serde_json::{Value, json};

const DOCUMENT: &str = "urn:fleet:openapi";

/// What was asked, kept with its answer.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The route's own path, such as `/v1/devices/{id}`; none when there is no such route.
    route: Option<String>,
    method: String,
    body: Vec<u8>,
}

impl Asked {
    pub(crate) fn new(method: &str, path: &str, body: &[u8]) -> Self {
        Self {
            route: route(method, path),
            method: method.to_lowercase(),
            body: body.to_vec(),
        }
    }

    /// Whether this status stands in the document, and its media type with it.
    #[track_caller]
    pub(crate) fn check_status(&self, status: u16, media: Option<&str>) {
        let Some(route) = &self.route else { return };
        let operation = &document()["paths"][route][&self.method];
        let response = resolve(&operation["responses"][status.to_string()]);
        let what = format!("{} {route} answered {status}", self.method);
        assert!(response.is_object(), "{what}, which is not documented");
        let media = media.and_then(|media| media.split(';').next());
        match (media, response["content"].as_object()) {
            (Some(media), Some(content)) => {
                assert!(
                    content.contains_key(media),
                    "{what} in {media}: {content:?}"
                );
            }
            (Some(media), None) => panic!("{what} in {media}, and no content is documented"),
            (None, _) => {}
        }
    }

    /// Whether the answer fits, and the request if it succeeded.
    #[track_caller]
    pub(crate) fn check_bodies(&self, status: u16, media: Option<&str>, body: &Value) {
        let Some(route) = &self.route else { return };
        let media = media.and_then(|media| media.split(';').next());
        let operation = format!("/paths/{}/{}", escape(route), self.method);
        if let Some(media) = media.filter(|media| media.ends_with("json")) {
            let response = format!("{operation}/responses/{status}");
            let response = match document()
                .pointer(&response)
                .and_then(|r| r["$ref"].as_str())
            {
                Some(reference) => reference.trim_start_matches('#').to_owned(),
                None => response,
            };
            let schema = format!("{response}/content/{}/schema", escape(media));
            assert_fits(&schema, body, &format!("{} {route}: {status}", self.method));
        }
        let schema = format!("{operation}/requestBody/content/application~1json/schema");
        if (200..300).contains(&status) && document().pointer(&schema).is_some() {
            let request = serde_json::from_slice(&self.body).unwrap();
            assert_fits(
                &schema,
                &request,
                &format!("{} {route}: request", self.method),
            );
        }
    }
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn resolve(value: &'static Value) -> &'static Value {
    let reference = value["$ref"].as_str();
    let found = reference.map(|r| document().pointer(r.trim_start_matches('#')).unwrap());
    found.unwrap_or(value)
}

/// The documented path that this one is of.
fn route(method: &str, path: &str) -> Option<String> {
    let path = path.split('?').next().unwrap_or_default();
    let asked: Vec<_> = path.split('/').collect();
    let fits = |pattern: &str| {
        let pattern: Vec<_> = pattern.split('/').collect();
        let same = |(p, a): (&&str, &&str)| p.starts_with('{') || p == a;
        pattern.len() == asked.len() && pattern.iter().zip(&asked).all(same)
    };
    let paths = document()["paths"].as_object().unwrap();
    let of_method = paths
        .iter()
        .filter(|(_, methods)| methods.get(method.to_lowercase()).is_some());
    let mut fitting: Vec<_> = of_method.map(|(p, _)| p).filter(|p| fits(p)).collect();
    // The one with the fewest parameters is what the router takes.
    fitting.sort_by_key(|p| p.matches('{').count());
    fitting.first().map(|p| (*p).clone())
}

/// Whether a value fits the schema at this place in the document.
#[track_caller]
pub(crate) fn assert_fits(schema: &str, value: &Value, what: &str) {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, &'static Validator>>> =
        LazyLock::new(Mutex::default);
    static REGISTRY: LazyLock<Registry<'static>> = LazyLock::new(|| {
        let resource = Resource::from_contents(document().clone());
        let registry = Registry::new().add(DOCUMENT, resource).unwrap();
        registry.prepare().unwrap()
    });
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = validators.entry(schema.to_owned()).or_insert_with(|| {
        assert!(document().pointer(schema).is_some(), "{schema}");
        let place = schema.replace('{', "%7B").replace('}', "%7D");
        let reference = json!({"$ref": format!("{DOCUMENT}#{place}")});
        let options = jsonschema::draft202012::options().with_registry(&REGISTRY);
        Box::leak(Box::new(options.build(&reference).unwrap()))
    });
    let errors: Vec<_> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    drop(validators);
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
}
