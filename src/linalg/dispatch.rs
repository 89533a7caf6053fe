//! One binary for every processor. A kernel is written once, as plain loops over groups of numbers, and compiled twice:
//! with AVX2 and FMA, and for any processor of the target (on ARM that has NEON, on others what the target has). The call
//! looks at the processor, one cached load, and takes the wide form where it may.

/// Defines a function that runs `$body::<true>`, compiled for AVX2 and FMA, where the processor has them, and
/// `$body::<false>` elsewhere.
macro_rules! kernel {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $kind:ty),* $(,)?) $(-> $out:ty)? = $body:ident) => {
        $(#[$meta])*
        $vis fn $name($($arg: $kind),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $kind),*) $(-> $out)? {
                    $body::<true>($($arg),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: `wide` asks of its caller only that the processor has AVX2 and FMA, tested just above.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}

pub(super) use kernel;

/// `a · b + c`, in one instruction where `FMA` says that there is one: without it, `mul_add` would be a slow call into
/// the C library.
macro_rules! fma {
    ($fma:ident, $a:expr, $b:expr, $c:expr) => {
        if $fma { $a.mul_add($b, $c) } else { $a * $b + $c }
    };
}

pub(super) use fma;
