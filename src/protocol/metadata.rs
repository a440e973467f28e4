//! The first message of a server: what it serves.

use super::value::Value;

/// What `pi0_server` serves. Other servers of the protocol tell nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The policy, its sizes and its device, in words.
    pub description: String,
    /// Cameras and their keys in an observation.
    pub cameras: Vec<(String, String)>,
    /// Keys of the parts of the state, in its order.
    pub state_keys: Vec<String>,
    /// Values of the state.
    pub state_dim: usize,
    /// Values of an action.
    pub action_dim: usize,
    /// Actions in an answer.
    pub action_horizon: usize,
    /// Clean actions that the policy was trained to go on from, at most; 0 where it was not.
    pub rtc_training_max_delay: usize,
    /// Side of the square that the policy sees a picture in, in pixels.
    pub image_size: usize,
    /// Whether the policy resizes pictures as Pillow does, and not as LeRobot.
    pub is_antialiased: bool,
}

/// Why a server's first message cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Something else than a map.
    #[error("the server's first message is {0}, expected a map: its metadata")]
    Kind(String),
    /// Metadata of a `pi0_server` that adds other things to openpi's protocol.
    #[error(
        "the server is a pi0_server of protocol version {0}, expected {VERSION}; use the same release on both machines"
    )]
    Version(String),
    /// Metadata of `pi0_server` without one of its values.
    #[error("the server's metadata has no {0}")]
    Missing(&'static str),
}

/// Name of all that is not of openpi's.
const NAME: &str = "pi0_node";
/// Version of what `pi0_server` adds to openpi's protocol. A server of another one may not know, and so not heed, a value of
/// an observation.
const VERSION: usize = 2;

impl Metadata {
    /// The message.
    pub fn to_value(&self) -> Value<'_> {
        let cameras = self.cameras.iter();
        let cameras = cameras.map(|(camera, key)| (camera.as_str().into(), key.as_str().into()));
        let state_keys = self.state_keys.iter().map(|key| key.as_str().into());
        let own = Value::map([
            ("version", VERSION.into()),
            ("description", self.description.as_str().into()),
            ("cameras", Value::Map(cameras.collect())),
            ("state_keys", Value::List(state_keys.collect())),
            ("state_dim", self.state_dim.into()),
            ("action_dim", self.action_dim.into()),
            ("action_horizon", self.action_horizon.into()),
            ("rtc_training_max_delay", self.rtc_training_max_delay.into()),
            ("image_size", self.image_size.into()),
            ("is_antialiased", Value::Bool(self.is_antialiased)),
        ]);
        Value::map([(NAME, own)])
    }

    /// The metadata of a message; none for that of another server.
    ///
    /// # Errors
    /// When the message is no metadata.
    pub fn from_value(value: &Value<'_>) -> Result<Option<Self>, MetadataError> {
        if !matches!(value, Value::Map(_)) {
            return Err(MetadataError::Kind(value.kind()));
        }
        let Some(own) = value.get(NAME) else {
            return Ok(None);
        };
        match own.get("version") {
            Some(version) if version.count() == Some(VERSION) => {}
            Some(Value::Integer(other)) => return Err(MetadataError::Version(other.to_string())),
            other => {
                let found = other.map_or_else(|| "1".to_owned(), Value::kind);
                return Err(MetadataError::Version(found));
            }
        }
        let missing = MetadataError::Missing;
        let count = |name| own.get(name).and_then(Value::count).ok_or(missing(name));
        let text = |value: &Value<'_>| value.text().map(str::to_owned);
        let cameras = match own.get("cameras") {
            Some(Value::Map(cameras)) => {
                let keys = cameras
                    .iter()
                    .map(|(camera, key)| Some((camera.clone().into_owned(), text(key)?)));
                keys.collect::<Option<_>>()
            }
            _ => None,
        };
        let state_keys = match own.get("state_keys") {
            Some(Value::List(keys)) => keys.iter().map(text).collect::<Option<_>>(),
            _ => None,
        };
        Ok(Some(Self {
            description: own
                .get("description")
                .and_then(text)
                .ok_or(missing("description"))?,
            cameras: cameras.ok_or(missing("cameras"))?,
            state_keys: state_keys.ok_or(missing("state_keys"))?,
            state_dim: count("state_dim")?,
            action_dim: count("action_dim")?,
            action_horizon: count("action_horizon")?,
            rtc_training_max_delay: count("rtc_training_max_delay")?,
            image_size: count("image_size")?,
            is_antialiased: own.get("is_antialiased") == Some(&Value::Bool(true)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_as_it_was_written() {
        let metadata = Metadata {
            description: "a policy".to_owned(),
            cameras: vec![("top".to_owned(), "images/top".to_owned())],
            state_keys: vec!["state".to_owned()],
            state_dim: 14,
            action_dim: 7,
            action_horizon: 50,
            rtc_training_max_delay: 7,
            image_size: 224,
            is_antialiased: true,
        };
        assert_eq!(Metadata::from_value(&metadata.to_value()), Ok(Some(metadata)));
    }

    #[test]
    fn another_server_s_metadata_is_none_of_ours() {
        assert_eq!(Metadata::from_value(&Value::map([])), Ok(None));
        assert_eq!(
            Metadata::from_value(&Value::map([("reset_pose", Value::Nil)])),
            Ok(None)
        );
        assert!(Metadata::from_value(&Value::List(Vec::new())).is_err());
        let incomplete = Value::map([(NAME, Value::map([("version", VERSION.into())]))]);
        assert!(matches!(
            Metadata::from_value(&incomplete),
            Err(MetadataError::Missing(_))
        ));
    }

    #[test]
    fn a_server_of_another_version_is_refused_with_both() {
        for (version, found) in [(Some(Value::Integer(3)), "3"), (None, "1")] {
            let own = Value::map(version.map(|version| ("version", version)));
            let refused = Metadata::from_value(&Value::map([(NAME, own)])).unwrap_err();
            assert_eq!(refused, MetadataError::Version(found.to_owned()));
            assert!(refused.to_string().contains("expected 2"), "{refused}");
        }
    }
}
