//! Keys that are bound to tenants.

use super::{Tenants, unknown};
use crate::engine::keys::Proof;
use crate::error::Result;
use crate::record::{KeyDesign, NewKey, TenantName};

impl Tenants {
    /// [`crate::Engine::create_key`], where the tenant that the key is to be bound to is there: else it would let in to whoever is
    /// given the name one day. Errors: those, and [`crate::Error::NotFound`].
    pub fn create_key(&self, design: &KeyDesign) -> Result<NewKey> {
        self.create_key_by(design, None)
    }

    /// The same, asked for with a key.
    pub(crate) fn create_key_by(&self, design: &KeyDesign, maker: Option<&Proof>) -> Result<NewKey> {
        if let Some(bound) = design.tenant.as_deref().filter(|bound| *bound != TenantName::DEFAULT) {
            let name: TenantName = bound.parse()?;
            self.slot(&name).ok_or_else(|| unknown(&name))?;
        }
        self.set.home.create_key_by(design, maker)
    }
}
