//! Plain loops, compiled for the widest registers of the machine that runs them.

/// Calls `work`, compiled once for each width and chosen at run time. Results do not depend on the width:
/// nothing contracts a product and a sum.
///
/// Only what is inlined into `work` is compiled so: closures that it calls in its loops are
/// `#[inline(always)]`, and it is given by [`vectorised!`], which marks `work` itself. It is an `FnMut`: as
/// an `FnOnce` it would be called through a function of the compiler's own, which is not inlined.
#[inline(always)]
pub(crate) fn at_full_width<R>(mut work: impl FnMut() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512<R>(mut work: impl FnMut() -> R) -> R {
            work()
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(mut work: impl FnMut() -> R) -> R {
            work()
        }
        let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if has_avx2 && has_avx512 {
            // SAFETY: the machine has the instructions.
            return unsafe { avx512(work) };
        }
        if has_avx2 {
            // SAFETY: the machine has the instructions.
            return unsafe { avx2(work) };
        }
    }
    work()
}

/// The value of a block, compiled for the widest registers: `vectorised!({ … })`.
macro_rules! vectorised {
    ($work:block) => {
        $crate::device::vectorised::at_full_width(
            #[inline(always)]
            || $work,
        )
    };
}
pub(crate) use vectorised;
