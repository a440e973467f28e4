//! Prompts in logs and diagnostics, which a long one must not fill.

/// Most characters of a text that are shown.
const SHOWN: usize = 200;

/// The text; of a longer one the first 200 characters and its length.
pub fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
        None => text.to_owned(),
    }
}

/// A message in which a long `prompt`, quoted or not, is shortened.
pub fn with_short_prompt(message: &str, prompt: &str) -> String {
    if prompt.chars().nth(SHOWN).is_none() {
        return message.to_owned();
    }
    let short = shortened(prompt);
    message
        .replace(&format!("{prompt:?}"), &format!("{short:?}"))
        .replace(prompt, &short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_text_the_first_200_characters_are_shown() {
        assert_eq!(shortened("wave"), "wave");
        let long = "π".repeat(100_000);
        let short = shortened(&long);
        assert_eq!(short, format!("{}… (100000 characters)", "π".repeat(200)));
    }

    #[test]
    fn a_message_shows_a_long_prompt_shortened_and_a_short_one_whole() {
        let long = "pick up\n".repeat(10_000);
        for message in [format!("too long: {long:?}"), format!("too long: {long}")] {
            let short = with_short_prompt(&message, &long);
            assert!(
                short.starts_with("too long: ") && short.chars().count() < 300,
                "{short}"
            );
        }
        assert_eq!(
            with_short_prompt("too long: \"wave\"", "wave"),
            "too long: \"wave\""
        );
    }
}
