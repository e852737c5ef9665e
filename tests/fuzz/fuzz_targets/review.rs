//! Whatever is posted: an error or an answer, never a panic.

#![no_main]

use keysluice::admission;
use keysluice::cloud::Cloud;
use keysluice::mutate::Facts;
use keysluice::settings::Settings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let settings = Settings::new(Cloud::well_known("AzurePublicCloud").unwrap());
    if let Ok(incoming) = admission::read(bytes) {
        let _ = incoming.needs(&settings);
        let _ = incoming.answer(&settings, &Facts::default());
    }
});
