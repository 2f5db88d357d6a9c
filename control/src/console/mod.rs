//! The operator's pages.

use axum::response::Html;

pub(crate) async fn login() -> Html<&'static str> {
    Html("")
}
pub(crate) async fn submit_login() -> Html<&'static str> {
    Html("")
}
pub(crate) async fn logout() -> Html<&'static str> {
    Html("")
}
pub(crate) async fn fleet() -> Html<&'static str> {
    Html("")
}
pub(crate) async fn rollout() -> Html<&'static str> {
    Html("")
}
pub(crate) async fn device() -> Html<&'static str> {
    Html("")
}
