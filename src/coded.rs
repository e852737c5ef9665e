//! Errors whose variants carry their reason code.

/// Declares an error enum: each variant has its code before its name, or `= field` where the code is
/// that of the error in `field`. Gives the enum a method `reason`.
///
/// A further error is one further variant; there is no second table.
macro_rules! coded {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident {
            $(
                $(#[$variant_about:meta])*
                [$($code:ident)? $(= $inner:tt)?]
                $variant:ident $({ $($fields:tt)* })? $(( $($values:tt)* ))?,
            )*
        }
    ) => {
        $(#[$about])*
        $visibility enum $name {
            $( $(#[$variant_about])* $variant $({ $($fields)* })? $(( $($values)* ))?, )*
        }

        impl $name {
            /// The code with its general explanation.
            pub fn reason(&self) -> keysluice_plan::reason::Reason {
                match self {$(
                    $( Self::$variant { .. } => $crate::reason::$code, )?
                    $( Self::$variant { $inner: inner, .. } => inner.reason(), )?
                )*}
            }
        }
    };
}

pub(crate) use coded;
