//! Templates of a class.

use keysluice_plan::Template;
use std::str::FromStr;
use zeroize::Zeroizing;

const FILES: [(&str, &[u8]); 4] =
    [("a", b"x'\"\\\n"), ("b-c", b""), ("d/e.f", &[0xff, 0]), ("files", b"YWJj")];

/// Reading and filling a template ends within its bounds, and the text is kept as it is.
pub fn template(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(template) = Template::from_str(text) else { return };
    assert_eq!(template.as_str(), text);
    let paths = FILES.map(|(path, _)| path);
    let mut read = |path: &str| {
        let file = FILES.iter().find(|(known, _)| *known == path);
        file.map(|(_, content)| Zeroizing::new(content.to_vec()))
    };
    if let Ok(filled) = template.render(&paths, &mut read) {
        assert!(filled.as_bytes().len() <= 1024 * 1024);
    }
}
