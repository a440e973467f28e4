//! The program `pi0_checkpoint`, run as people run it.

mod convert;
mod damaged_database;
mod inspect;
mod prepare;
mod program;
