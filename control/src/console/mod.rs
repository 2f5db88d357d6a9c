//! The operator's pages: rendered here, readable without JavaScript, fresh by reloading themselves.

mod device_page;
mod pages;
mod session;
mod words;

pub(crate) use device_page::device;
pub(crate) use pages::{fleet, rollout};
pub(crate) use session::{login, logout, submit_login};
