//! State that a process leaves to the next one, as plain data: kept connections and units of namespaces, with the variables
//! of their closures.
//!
//! In: a [`Packing`] collects the versions whose closures are packed. Out: in the next process, an [`Unpacking`] has
//! these versions, compiled again from their texts.

use std::sync::Arc;

use rhai::{Dynamic, INT};

use super::Registered;
use crate::{
    connection::Clock,
    script::{SourceFile, Version},
};

/// Function that returns plain data for a value that is not plain, or the other way round; `None` if it cannot.
type Convert<'a> = &'a dyn Fn(&Dynamic) -> Option<Dynamic>;

/// State of the connections of one namespace, as it is packed.
pub struct Packing<'a> {
    /// Identifies values that are not plain, such as a socket.
    name: Convert<'a>,
    versions: Vec<Arc<Version>>,
}

impl std::fmt::Debug for Packing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packing").finish_non_exhaustive()
    }
}

impl<'a> Packing<'a> {
    /// Begins. `name` returns plain data that identifies a value.
    pub const fn new(name: Convert<'a>) -> Self {
        Self {
            name,
            versions: Vec::new(),
        }
    }

    /// Packs registrations that a version has; `()` if some of them have the code of an earlier version.
    pub(super) fn registered(
        &mut self,
        registered: &Registered,
        version: Option<&Arc<Version>>,
    ) -> Dynamic {
        let Some(version) = version else {
            return Dynamic::UNIT;
        };
        let Some(packed) = registered.pack(version, self.name) else {
            return Dynamic::UNIT;
        };
        let known = self
            .versions
            .iter()
            .position(|one| Arc::ptr_eq(one, version));
        let number = known.unwrap_or_else(|| {
            self.versions.push(version.clone());
            self.versions.len() - 1
        });
        let number = INT::try_from(number).unwrap_or(INT::MAX);
        Dynamic::from_array(vec![number.into(), packed])
    }

    /// Returns the texts of the versions.
    pub fn into_versions(self) -> Dynamic {
        Dynamic::from_array(self.versions.iter().map(|one| pack_version(one)).collect())
    }
}

fn pack_version(version: &Version) -> Dynamic {
    let files = version.files().iter().map(|file| {
        let text = file.text.as_deref().map_or(Dynamic::UNIT, Into::into);
        Dynamic::from_array(vec![(&*file.name).into(), text])
    });
    Dynamic::from_array(vec![
        (&**version.entry()).into(),
        INT::try_from(version.number()).unwrap_or(INT::MAX).into(),
        Dynamic::from_array(files.collect()),
    ])
}

/// Texts of a version that served in an earlier process.
#[derive(Debug)]
#[non_exhaustive]
pub struct VersionTexts {
    /// Name of the entry file.
    pub entry: String,
    /// Number of the version.
    pub number: u64,
    /// Files of the version.
    pub files: Vec<SourceFile>,
}

impl VersionTexts {
    fn unpack(packed: &Dynamic) -> Option<Self> {
        let packed = packed.as_array_ref().ok()?;
        let [entry, number, files] = packed.as_slice() else {
            return None;
        };
        let files = files.as_array_ref().ok()?;
        let file = |packed: &Dynamic| {
            let packed = packed.as_array_ref().ok()?;
            let [name, text] = packed.as_slice() else {
                return None;
            };
            Some(SourceFile {
                name: text_of(name)?.into(),
                text: text_of(text).map(Arc::from),
            })
        };
        Some(Self {
            entry: text_of(entry)?,
            number: number.as_int().ok()?.try_into().ok()?,
            files: files.iter().map(file).collect::<Option<_>>()?,
        })
    }
}

/// Returns a text of packed data.
pub fn text_of(packed: &Dynamic) -> Option<String> {
    packed.clone().into_string().ok()
}

/// State of the connections of one namespace, as it is unpacked.
pub struct Unpacking<'a> {
    /// Finds or creates what plain data identifies.
    named: Convert<'a>,
    versions: Vec<Option<Arc<Version>>>,
}

impl std::fmt::Debug for Unpacking<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacking").finish_non_exhaustive()
    }
}

impl<'a> Unpacking<'a> {
    /// Begins. `named` returns the value that plain data identifies. `compile` compiles the texts of a version.
    pub fn new(
        named: Convert<'a>,
        packed_versions: &Dynamic,
        compile: &dyn Fn(VersionTexts) -> Option<Arc<Version>>,
    ) -> Self {
        let packed = packed_versions.as_array_ref();
        let packed = packed.iter().flat_map(|all| all.iter());
        let versions = packed.map(|one| VersionTexts::unpack(one).and_then(compile));
        Self {
            named,
            versions: versions.collect(),
        }
    }

    /// Returns registrations with their version. Returns `None` if they could not be packed, or the version does not
    /// compile any more.
    pub(super) fn registered(
        &self,
        packed: &Dynamic,
        clock: &Clock,
    ) -> Option<(Registered, Arc<Version>)> {
        let packed = packed.as_array_ref().ok()?;
        let [number, packed] = packed.as_slice() else {
            return None;
        };
        let number = usize::try_from(number.as_int().ok()?).ok()?;
        let version = self.versions.get(number)?.clone()?;
        let registered = Registered::unpack(packed, &version, self.named, clock)?;
        Some((registered, version))
    }
}
