//! The operator's pages: rendered here, readable without JavaScript, fresh by reloading themselves.

mod device_page;
mod forgot;
mod join;
mod pages;
mod pair;
mod session;
mod words;

pub(crate) use device_page::device;
pub(crate) use forgot::{forgot, submit_forgot};
pub(crate) use join::{join, submit_join};
pub(crate) use pages::{fleet, rollout};
pub(crate) use pair::{pair, submit_pair};
pub(crate) use session::{COOKIE, login, logout, render, submit_login};
