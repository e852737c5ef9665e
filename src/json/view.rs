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
            fn read_into(
                &mut self,
                cursor: &mut $crate::json::Cursor<'a>,
            ) -> Result<(), $crate::json::JsonError> {
                // Named as the fields.
                #[allow(non_camel_case_types, clippy::enum_variant_names)]
                #[derive(Clone, Copy)]
                enum Bit { $($field),* }
                let mut seen = 0_u32;
                cursor.object(|key, cursor| {
                    $(
                        if key == $key.as_bytes() {
                            return cursor
                                .once(&mut seen, 1 << Bit::$field as u32)
                                .and_then(|()| cursor.value_or_null(&mut self.$field))
                                .map_err(|error| error.in_field($key));
                        }
                    )*
                    cursor.skip()
                })
            }
        }
    )*};
}

pub(crate) use view;
