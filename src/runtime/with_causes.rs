//! Errors in words.

use std::error::Error;

/// The error and its causes in one line.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_followed_by_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("no policy")]
        struct NoPolicy(#[source] std::fmt::Error);
        let cause = std::fmt::Error;
        assert_eq!(with_causes(&NoPolicy(cause)), format!("no policy: {cause}"));
    }
}
