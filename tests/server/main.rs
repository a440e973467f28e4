//! The server of policies and its client, with each other and with the ends of connections that go wrong.

#[path = "../common"]
mod common {
    pub mod stand_in;
}
mod clients;
mod faults;
mod one_policy;
mod running;
mod security;
