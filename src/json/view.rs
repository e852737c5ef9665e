//! Declaring what is read of an object.

/// Declares structs with the JSON key of each field, and their [`Read`](super::Read). Unknown
/// fields are skipped; an absent or null field is the default (Go's zero value); one that occurs
/// twice is refused.
///
/// A further field is one further line: `/// What it is. "jsonName" rust_name: Type,` where `Type`
/// is `Text`, `Option<…>`, `Vec<…>`, `bool`, `i64`, `StringMap`, or another view.
macro_rules! view {
    ($(
        $(#[$about:meta])*
        pub struct $name:ident $(<$life:lifetime>)? {
            $( $(#[$field_about:meta])* $key:literal $field:ident: $type:ty, )*
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Debug, Default)]
        pub struct $name $(<$life>)? {
            $( $(#[$field_about])* pub $field: $type, )*
        }

        impl<'a> $crate::json::Read<'a> for $name $(<$life>)? {
            fn read(cursor: &mut $crate::json::Cursor<'a>) -> Result<Self, $crate::json::JsonError> {
                #[allow(non_camel_case_types, clippy::enum_variant_names, reason = "one bit a field, named after it")]
                #[derive(Clone, Copy)]
                enum Bit { $($field),* }
                let mut read = Self::default();
                let mut seen = 0_u32;
                cursor.object(|key, cursor| {
                    $(
                        if key == $key.as_bytes() {
                            let bit = 1 << Bit::$field as u32;
                            let value = if seen & bit == 0 { cursor.value_or_default() } else { Err(cursor.duplicate()) };
                            seen |= bit;
                            read.$field = value.map_err(|error| error.in_field($key))?;
                            return Ok(());
                        }
                    )*
                    cursor.skip()
                })?;
                Ok(read)
            }
        }
    )*};
}

pub(crate) use view;
