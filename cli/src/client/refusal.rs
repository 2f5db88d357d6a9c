//! What the control plane says no with, as an error with a kind and a hint.

use fleet_protocol::problem::Problem;
use ureq::Body;
use ureq::http::{Response, StatusCode};

use crate::error::{CommandError, Kind};
use crate::output::printable;

pub(super) fn read_problem(response: &mut Response<Body>) -> Option<Problem> {
    let body = response.body_mut().with_config().limit(1 << 20);
    serde_json::from_slice(&body.read_to_vec().ok()?).ok()
}

pub(super) fn refusal(status: StatusCode, problem: Option<&Problem>) -> CommandError {
    match problem {
        Some(problem) => from_problem(status, problem),
        None => CommandError::new(
            kind_of(status),
            format!("the control plane answered {status}"),
        )
        .hint("is this the control plane's address? its log says more"),
    }
}

/// Where an upload has to go on, if that is what the problem is.
pub(super) fn received_bytes(problem: &Problem) -> Option<u64> {
    if problem.code != "UPLOAD_OFFSET" {
        return None;
    }
    problem.context.get("receivedBytes")?.as_u64()
}

const fn kind_of(status: StatusCode) -> Kind {
    match status.as_u16() {
        401 => Kind::Unauthorized,
        404 | 410 => Kind::NotFound,
        400 | 403 | 405..=499 => Kind::Refused,
        502..=504 => Kind::Unreachable,
        _ => Kind::Failed,
    }
}

fn from_problem(status: StatusCode, problem: &Problem) -> CommandError {
    let kind = if status == StatusCode::TOO_MANY_REQUESTS {
        Kind::Unreachable
    } else {
        kind_of(status)
    };
    let mut message = printable(&problem.detail);
    if message.is_empty() {
        message = printable(&problem.title);
    }
    for field in &problem.errors {
        if !problem.detail.contains(&field.message) {
            message += &format!(
                "\n  {}: {}",
                printable(&field.field),
                printable(&field.message)
            );
        }
    }
    let error = CommandError::new(kind, message).code(printable(&problem.code));
    match (&problem.hint, kind, problem.retry_after_seconds) {
        (Some(hint), _, _) => error.hint(printable(hint)),
        (None, Kind::Unauthorized, _) => {
            error.hint("log in again with `fleet login`, or check --token-file and FLEET_TOKEN")
        }
        (None, Kind::Refused, _) if status == StatusCode::FORBIDDEN => {
            error.hint("`fleet whoami` says what you may do; an administrator can change it")
        }
        (None, _, Some(seconds)) => error.hint(format!("try again in {seconds} s")),
        (None, Kind::NotFound, _) => error.hint(
            "list what there is: `fleet device|release|rollout|asset|playlist|venue|user list`",
        ),
        (None, _, _) => error.hint(format!(
            "the control plane's log has more under request {}",
            printable(&problem.request_id)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, hint: Option<&str>) -> CommandError {
        let problem = Problem {
            type_uri: String::new(),
            title: "Conflict".to_owned(),
            status,
            code: "CONFLICT".to_owned(),
            detail: "the rollout is over".to_owned(),
            hint: hint.map(str::to_owned),
            instance: String::new(),
            request_id: "req_1".to_owned(),
            errors: vec![fleet_protocol::problem::FieldError {
                field: "phases[0]".to_owned(),
                message: "too small".to_owned(),
            }],
            retry_after_seconds: None,
            current_etag: None,
            context: serde_json::Map::new(),
        };
        from_problem(StatusCode::from_u16(status).unwrap(), &problem)
    }

    #[test]
    fn each_status_has_its_exit_code() {
        let check =
            |status, code| assert_eq!(answer(status, None).kind.exit_code(), code, "{status}");
        check(401, 6);
        check(403, 4);
        check(404, 3);
        check(409, 4);
        check(422, 4);
        check(429, 5);
        check(503, 5);
        check(500, 1);
    }

    #[test]
    fn a_problem_names_its_fields_and_always_has_a_hint() {
        let error = answer(409, None);
        assert!(error.message.contains("phases[0]: too small"), "{error}");
        assert!(!error.hints.is_empty());
        assert_eq!(answer(409, Some("wait")).hints, ["wait"]);
    }
}
