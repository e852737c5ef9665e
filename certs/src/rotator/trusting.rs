//! Which CAs are trusted: for those who check the leaf without reading `caBundle`.

use super::{Event, Rotator};
use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::material::{Material, MaterialError};

impl<S, B, C: Clock> Rotator<S, B, C> {
    /// Tells which CAs the stored material trusts, where they are others than before.
    pub(super) fn trust(
        &mut self,
        material: &Result<Material, MaterialError>,
        observe: &mut impl FnMut(Event),
    ) {
        let Ok(material) = material else { return };
        let trusted = material.trusted(self.clock.now().wall);
        let authorities: String = trusted.iter().map(Certificate::pem).collect();
        if !authorities.is_empty() && authorities != self.trusted {
            self.trusted.clone_from(&authorities);
            observe(Event::Trusting { authorities });
        }
    }
}
