//! Checkpoints by their names on the Hugging Face Hub, against a local server that answers as the hub does.

mod cached;
mod downloading;
mod huggingface_hub;
mod refused;
mod server;
mod setup;
