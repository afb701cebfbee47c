//! Trigonometric functions and their inverses. Go: `math/sin.go`, `tan.go`, `trig_reduce.go`, `atan.go`, `asin.go`,
//! `atan2.go`: the Cephes library's rational approximations, Cody and Waite's reduction below 2^29, Payne and Hanek's
//! from there.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use super::{NAN, polynomial};

const SIN: [f64; 6] = [
    1.589_623_015_765_465_680_60e-10,
    -2.505_074_776_285_780_728_66e-8,
    2.755_731_362_138_572_452_13e-6,
    -1.984_126_982_958_953_859_96e-4,
    8.333_333_333_322_118_588_78e-3,
    -1.666_666_666_666_663_072_95e-1,
];
const COS: [f64; 6] = [
    -1.135_853_652_138_768_173_00e-11,
    2.087_570_084_197_473_167_78e-9,
    -2.755_731_417_929_673_881_12e-7,
    2.480_158_728_885_170_453_48e-5,
    -1.388_888_888_887_305_641_16e-3,
    4.166_666_666_666_659_292_18e-2,
];

/// The sine of an angle in radians.
pub fn sin(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return NAN;
    }
    let (octant, z) = reduce(x.abs());
    let octant = octant & 7;
    let value = if matches!(octant & 3, 1 | 2) { cos_series(z) } else { sin_series(z) };
    if (x < 0.0) != (octant > 3) { -value } else { value }
}

/// The cosine of an angle in radians.
pub fn cos(x: f64) -> f64 {
    if !x.is_finite() {
        return NAN;
    }
    let (octant, z) = reduce(x.abs());
    let octant = octant & 7;
    let quarter = octant & 3;
    let value = if matches!(quarter, 1 | 2) { sin_series(z) } else { cos_series(z) };
    if (octant > 3) != (quarter > 1) { -value } else { value }
}

/// The tangent of an angle in radians.
pub fn tan(x: f64) -> f64 {
    const P: [f64; 3] =
        [-1.309_369_391_813_837_776_46e4, 1.153_516_648_385_874_161_40e6, -1.795_652_519_764_848_779_88e7];
    const Q: [f64; 5] = [
        1.0,
        1.368_129_634_706_929_546_78e4,
        -1.320_892_344_402_109_674_47e6,
        2.500_838_018_233_579_158_39e7,
        -5.386_957_559_294_546_298_81e7,
    ];
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if x.is_infinite() {
        return NAN;
    }
    let (octant, z) = reduce(x.abs());
    let zz = z * z;
    let mut value = z;
    if zz > 1e-14 {
        value = z + z * (zz * polynomial(zz, &P) / polynomial(zz, &Q));
    }
    if octant & 2 == 2 {
        value = -1.0 / value;
    }
    if x < 0.0 { -value } else { value }
}

fn sin_series(z: f64) -> f64 {
    let zz = z * z;
    z + z * zz * polynomial(zz, &SIN)
}

fn cos_series(z: f64) -> f64 {
    let zz = z * z;
    1.0 - 0.5 * zz + zz * zz * polynomial(zz, &COS)
}

/// The octant of a finite, non-negative angle, rounded up to an even one, and the rest of the angle.
fn reduce(x: f64) -> (u64, f64) {
    // A quarter of pi in three parts.
    const PI4_A: f64 = 7.853_981_256_484_985_351_56e-1;
    const PI4_B: f64 = 3.774_894_707_930_798_176_68e-8;
    const PI4_C: f64 = 2.695_151_429_079_059_526_45e-15;
    const FOUR_OVER_PI: f64 = 1.273_239_544_735_162_686_151;
    if x >= (1u64 << 29) as f64 {
        return reduce_large(x);
    }
    let octant = (x * FOUR_OVER_PI) as u64;
    let octant = octant + (octant & 1);
    let y = octant as f64;
    (octant, ((x - y * PI4_A) - y * PI4_B) - y * PI4_C)
}

/// 4/pi in binary, 64 digits per word; the point comes after the first word.
const FOUR_OVER_PI_BITS: [u64; 20] = [
    0x0000_0000_0000_0001,
    0x45f3_06dc_9c88_2a53,
    0xf84e_afa3_ea69_bb81,
    0xb6c5_2b32_7887_2083,
    0xfca2_c757_bd77_8ac3,
    0x6e48_dc74_849b_a5c0,
    0x0c92_5dd4_13a3_2439,
    0xfc3b_d639_6253_4e7d,
    0xd104_6bea_5d76_8909,
    0xd338_e04d_68be_fc82,
    0x7323_ac73_06a6_73e9,
    0x3908_bf17_7bf2_5076,
    0x3ff1_2fff_bc0b_301f,
    0xde5e_2316_b414_da3e,
    0xda6c_fd9e_4f96_136e,
    0x9e8c_7ecd_3cbf_d45a,
    0xea4f_758f_d7cb_e2f6,
    0x7a0e_73ef_14a5_25d4,
    0xd7f6_bf62_3f1a_ba10,
    0xac06_608d_f8f6_d757,
];

fn reduce_large(x: f64) -> (u64, f64) {
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64 - 1023 - 52;
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let first = (exponent + 61) as usize;
    let (word, shift) = (first / 64, first as u32 % 64);
    let digits = |i: usize| {
        let both =
            u128::from(FOUR_OVER_PI_BITS[word + i]) << 64 | u128::from(FOUR_OVER_PI_BITS[word + i + 1]);
        (both << shift >> 64) as u64
    };
    let low_part = (u128::from(digits(2)) * u128::from(mantissa)) >> 64;
    let middle = u128::from(digits(1)) * u128::from(mantissa);
    let high = u128::from(digits(0).wrapping_mul(mantissa)) << 64;
    let product = high.wrapping_add(middle).wrapping_add(low_part);
    let octant = (product >> 125) as u64;
    let fraction = product << 3;
    // The fraction as a double, its digits cut.
    let zeros = (fraction >> 64) as u64;
    let zeros = zeros.leading_zeros();
    let mantissa = (fraction << zeros << 1 >> 64) as u64 >> 12;
    let z = f64::from_bits(mantissa | u64::from(1023 - (zeros + 1)) << 52);
    if octant & 1 == 1 { ((octant + 1) & 7, (z - 1.0) * FRAC_PI_4) } else { (octant, z * FRAC_PI_4) }
}

/// The rounding error of pi/2 as a double.
const FRAC_PI_2_REST: f64 = 6.123_233_995_736_765_886_130e-17;

/// The angle in (-pi/2, pi/2) whose tangent is `x`.
pub fn atan(x: f64) -> f64 {
    if x == 0.0 {
        x
    } else if x > 0.0 {
        atan_positive(x)
    } else {
        -atan_positive(-x)
    }
}

fn atan_positive(x: f64) -> f64 {
    const TAN_3_PI_8: f64 = 2.414_213_562_373_095_048_80;
    if x <= 0.66 {
        atan_small(x)
    } else if x > TAN_3_PI_8 {
        FRAC_PI_2 - atan_small(1.0 / x) + FRAC_PI_2_REST
    } else {
        FRAC_PI_4 + atan_small((x - 1.0) / (x + 1.0)) + 0.5 * FRAC_PI_2_REST
    }
}

/// The arctangent on [0, 0.66].
fn atan_small(x: f64) -> f64 {
    const P: [f64; 5] = [
        -8.750_608_600_031_904_122_785e-01,
        -1.615_753_718_733_365_076_637e+01,
        -7.500_855_792_314_704_667_340e+01,
        -1.228_866_684_490_136_173_410e+02,
        -6.485_021_904_942_025_371_773e+01,
    ];
    const Q: [f64; 6] = [
        1.0,
        2.485_846_490_142_306_297_962e+01,
        1.650_270_098_316_988_542_046e+02,
        4.328_810_604_912_902_668_951e+02,
        4.853_903_996_359_136_964_868e+02,
        1.945_506_571_482_613_964_425e+02,
    ];
    let z = x * x;
    x * (z * polynomial(z, &P) / polynomial(z, &Q)) + x
}

/// The angle in [-pi/2, pi/2] whose sine is `x`.
pub fn asin(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    let magnitude = if x < 0.0 { -x } else { x };
    if magnitude > 1.0 {
        return NAN;
    }
    let other = (1.0 - magnitude * magnitude).sqrt();
    let angle = if magnitude > 0.7 {
        FRAC_PI_2 - atan_positive(other / magnitude)
    } else {
        atan_positive(magnitude / other)
    };
    if x < 0.0 { -angle } else { angle }
}

/// The angle in [0, pi] whose cosine is `x`.
pub fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

/// The angle of the point (`x`, `y`), in [-pi, pi].
pub fn atan2(y: f64, x: f64) -> f64 {
    const THREE_PI_4: f64 = 2.356_194_490_192_344_928_847;
    if y.is_nan() || x.is_nan() {
        return NAN;
    }
    let magnitude = if y == 0.0 {
        if x.is_sign_negative() { PI } else { 0.0 }
    } else if x == 0.0 {
        FRAC_PI_2
    } else if x == f64::INFINITY {
        if y.is_infinite() { FRAC_PI_4 } else { 0.0 }
    } else if x == f64::NEG_INFINITY {
        if y.is_infinite() { THREE_PI_4 } else { PI }
    } else if y.is_infinite() {
        FRAC_PI_2
    } else {
        let angle = atan(y / x);
        return match x < 0.0 {
            true if angle <= 0.0 => angle + PI,
            true => angle - PI,
            false => angle,
        };
    };
    magnitude.copysign(y)
}
