//! Who may use the server.

use std::fs;
use std::path::Path;

use subtle::ConstantTimeEq;

use super::error::ServerError;

/// Bytes of the shortest key.
const SHORTEST: usize = 16;

/// A key that clients have to know.
#[derive(Clone)]
pub struct ApiKey(String);

/// Without the key.
impl std::fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ApiKey")
    }
}

impl ApiKey {
    /// Reads the key of a file, without the white space around it.
    ///
    /// # Errors
    /// When the file cannot be read, or the key is shorter than 16 bytes.
    pub fn read(file: &Path) -> Result<Self, ServerError> {
        let text = fs::read_to_string(file).map_err(|source| ServerError::File {
            file: file.to_owned(),
            source,
        })?;
        let key = text.trim();
        match key.len() < SHORTEST {
            true => Err(ServerError::ShortKey {
                file: file.to_owned(),
                length: key.len(),
                shortest: SHORTEST,
            }),
            false => Ok(Self(key.to_owned())),
        }
    }

    /// Whether a request's header `Authorization` has the key, as `Api-Key KEY`. Takes as long for every wrong key of a length.
    pub(super) fn is_in(&self, authorization: Option<&[u8]>) -> bool {
        let expected = format!("Api-Key {}", self.0);
        authorization.is_some_and(|found| expected.as_bytes().ct_eq(found).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(text: &str) -> Result<ApiKey, ServerError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        ApiKey::read(file.path())
    }

    #[test]
    fn only_the_whole_key_is_one() {
        let key = key_of("  0123456789abcdef\n").unwrap();
        assert!(key.is_in(Some(b"Api-Key 0123456789abcdef")));
        for wrong in [
            &b"Api-Key 0123456789abcdeF"[..],
            b"Api-Key 0123456789abcde",
            b"Api-Key 0123456789abcdef0",
            b"Bearer 0123456789abcdef",
            b"0123456789abcdef",
            b"",
        ] {
            assert!(!key.is_in(Some(wrong)), "{}", String::from_utf8_lossy(wrong));
        }
        assert!(!key.is_in(None));
    }

    #[test]
    fn a_file_without_a_key_is_refused() {
        assert!(matches!(
            key_of("\n"),
            Err(ServerError::ShortKey { length: 0, .. })
        ));
        assert!(matches!(
            key_of("short"),
            Err(ServerError::ShortKey { length: 5, .. })
        ));
        assert!(matches!(
            ApiKey::read(Path::new("/missing")),
            Err(ServerError::File { .. })
        ));
    }

    #[test]
    fn a_key_is_not_in_the_log() {
        assert_eq!(format!("{:?}", key_of("0123456789abcdef").unwrap()), "ApiKey");
    }
}
