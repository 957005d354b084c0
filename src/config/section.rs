//! A macro for one object of the file: the struct, the reading of it and its part of the schema come
//! from the same lines, so that none can know a key that another does not.

/// Declares a section. Each field is a key of the same name, or of the name after `as`, and may have
/// a default; a doc comment is what an editor shows.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident { $(
        $(#[$field_meta:meta])* $field:ident $(as $key:literal)? : $ty:ty $(= $default:literal)?,
    )* }) => {
        #[derive(Debug, schemars::JsonSchema)]
        $(#[$meta])*
        #[schemars(deny_unknown_fields)]
        pub(super) struct $name {
            $(
                $(#[$field_meta])*
                $(#[schemars(rename = $key)])?
                #[schemars(default)]
                $(#[schemars(extend("default" = $default))])?
                pub(super) $field: $crate::config::reader::Field<$ty>,
            )*
        }

        impl $name {
            /// Every key of the section.
            pub(super) const KEYS: &'static [&'static str] =
                &[$($crate::config::section::key!($field $($key)?)),*];

            /// Reads the section's keys from an object, and no others.
            pub(super) fn take(
                members: &$crate::config::reader::Members<'_>,
                scope: &mut $crate::config::reader::Scope<'_>,
            ) -> Self {
                Self {
                    $($field: {
                        let default = $crate::config::section::default!($ty $(, $default)?);
                        let key = $crate::config::section::key!($field $($key)?);
                        members.field(key, default, scope)
                    },)*
                }
            }
        }

        impl $crate::config::reader::Read for $name {
            fn read(
                node: &$crate::config::reader::Node<'_>,
                scope: &mut $crate::config::reader::Scope<'_>,
            ) -> Option<Self> {
                let members = $crate::config::reader::Members::of(node, Self::KEYS, scope)?;
                Some(Self::take(&members, scope))
            }
        }
    };
}
pub(super) use section;

macro_rules! key {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}
pub(super) use key;

macro_rules! default {
    ($ty:ty) => {
        None
    };
    ($ty:ty, $default:literal) => {
        Some(<$ty>::from($default))
    };
}
pub(super) use default;
