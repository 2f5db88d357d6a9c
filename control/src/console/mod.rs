//! The operator's pages: rendered here, readable without JavaScript, fresh by reloading themselves.

mod pages;
mod session;
mod words;

pub(crate) use pages::{device, fleet, rollout};
pub(crate) use session::{login, logout, submit_login};
