//! Bytes as text and text as bytes: base64, hexadecimal, character sets, URLs.
mod charset;
mod text;
mod uri;
mod url;

use super::Registry;

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    text::register(registry);
    charset::register(registry);
    url::register(registry);
}
