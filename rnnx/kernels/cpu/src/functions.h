// exp, tanh and their kin over vectors: a few units in the last place, infinities and NaN kept.
//
// exp(x) = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2: Cody & Waite 1980, chapter 6. The polynomials are the
// Taylor series of e^r and of atanh, long enough that what is cut off is below a rounding.
#pragma once
#include <cmath>
#include <limits>

#include "vector.h"

namespace rnnx {
inline namespace RNNX_TARGET {

template <class T>
struct Constants;
template <>
struct Constants<float> {
  static constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it leaves round(x) in the lowest bits
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float top = 88.8f, bottom = -104.0f;  // beyond: exp is infinite, or 0
  static constexpr int exp_terms = 7, log_terms = 5;
};
template <>
struct Constants<double> {
  static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
  static constexpr double top = 709.8, bottom = -746.0;
  static constexpr int exp_terms = 13, log_terms = 12;
};

// 2^n for a whole n within the range of exponents.
template <class T>
inline Vec<T> power_of_two(Vec<T> n) {
  return (Vec<T>)((bits<T>(n + Constants<T>::magic) + Of<T>::bias) << Of<T>::mantissa);
}

// n and r of exp's reduction, and q = e^r - 1.
template <class T>
struct Reduced {
  Vec<T> n, q;
};
template <class T>
inline Reduced<T> reduced(Vec<T> x) {
  using C = Constants<T>;
  const Vec<T> n = (x * T(1.4426950408889634) + C::magic) - C::magic;
  const Vec<T> r = (x - n * C::ln2_high) - n * C::ln2_low;
  T factorial = 1;
  for (int k = 2; k <= C::exp_terms; k++) factorial *= T(k);
  T coefficient = T(1) / factorial;
  Vec<T> p = all<T>(coefficient);
#pragma GCC unroll 16
  for (int k = C::exp_terms - 1; k >= 2; k--) {
    factorial /= T(k + 1);
    p = p * r + T(1) / factorial;
  }
  return {n, r + r * r * p};
}

template <class T>
inline Vec<T> exponential(Vec<T> x) {
  using C = Constants<T>;
  x = x > C::top ? all<T>(C::top) : x;  // these keep a NaN
  x = x < C::bottom ? all<T>(C::bottom) : x;
  const Reduced<T> e = reduced<T>(x);
  const Vec<T> half = (e.n * T(0.5) + C::magic) - C::magic;  // in two factors: 2^n alone may not be a number
  return ((e.q + T(1)) * power_of_two<T>(half)) * power_of_two<T>(e.n - half);
}

template <class T>
inline Vec<T> absolute(Vec<T> x) {
  return (Vec<T>)(bits<T>(x) & ~bits<T>(all<T>(T(-0.0))));
}

// e^x - 1 for -1 <= x <= 60; more precise than exp(x) - 1 near 0.
template <class T>
inline Vec<T> exponential_less_one(Vec<T> x) {
  const Reduced<T> e = reduced<T>(x);
  const Vec<T> scale = power_of_two<T>(e.n);
  return scale * e.q + (scale - T(1));
}

template <class T>
inline Vec<T> expm1(Vec<T> x) {
  const Vec<T> outside = exponential<T>(x) - T(1);
  const Vec<T> safe = x > T(30) ? all<T>(T(30)) : (x < T(-1) ? all<T>(T(-1)) : x);
  const Vec<T> inside = exponential_less_one<T>(safe);
  return (x > T(30)) | (x < T(-1)) ? outside : inside;
}

// tanh |x| = t / (t + 2) with t = e^(2 |x|) - 1
template <class T>
inline Vec<T> hyperbolic_tangent(Vec<T> x) {
  Vec<T> twice = absolute<T>(x) * T(2);
  twice = twice > T(50) ? all<T>(T(50)) : twice;
  const Vec<T> t = exponential_less_one<T>(twice);
  const Int<T> sign = bits<T>(x) & bits<T>(all<T>(T(-0.0)));
  return (Vec<T>)(bits<T>(t / (t + T(2))) | sign);
}

// 1 / (1 + e^-x), from e^-|x|, which neither overflows nor loses the far tail
template <class T>
inline Vec<T> logistic(Vec<T> x) {
  const Vec<T> e = exponential<T>(-absolute<T>(x));
  return (x < T(0) ? e : all<T>(T(1))) / (e + T(1));
}

// log x = n ln 2 + 2 atanh((m - 1) / (m + 1)) with x = m 2^n, m in [sqrt 1/2, sqrt 2)
template <class T>
inline Vec<T> logarithm(Vec<T> x) {
  using C = Constants<T>;
  using Word = typename Of<T>::Word;
  constexpr T infinity = std::numeric_limits<T>::infinity(), least = std::numeric_limits<T>::min();
  const T scale = T(1) / std::numeric_limits<T>::epsilon();
  const Int<T> small = x < least;
  const Vec<T> y = small ? x * scale : x;  // a subnormal number has no exponent of its own
  const Int<T> word = bits<T>(y);
  const Word half = bits<T>(all<T>(T(0.70710678118654752)))[0];
  const Int<T> shifted = word - half;  // the exponent field of y / sqrt(1/2)
  const Int<T> n = shifted >> Of<T>::mantissa;
  const Vec<T> m = (Vec<T>)(word - (n << Of<T>::mantissa));
  Vec<T> count = (Vec<T>)((n + bits<T>(all<T>(C::magic)))) - C::magic;
  count = small ? count - T(std::numeric_limits<T>::digits - 1) : count;
  const Vec<T> s = (m - T(1)) / (m + T(1)), z = s * s;
  Vec<T> p = all<T>(T(1) / T(2 * C::log_terms + 1));
#pragma GCC unroll 16
  for (int k = C::log_terms - 1; k >= 1; k--) p = p * z + T(1) / T(2 * k + 1);
  Vec<T> r = count * C::ln2_high + (count * C::ln2_low + (s * T(2) + s * T(2) * (z * p)));
  r = x == infinity ? x : r;
  r = x == T(0) ? all<T>(-infinity) : r;
  return (x < T(0)) | (x != x) ? all<T>(std::numeric_limits<T>::quiet_NaN()) : r;
}

// log(1 + x): the logarithm of u = 1 + x, and what u lost of x
template <class T>
inline Vec<T> log1p(Vec<T> x) {
  const Vec<T> u = x + T(1);
  const Vec<T> r = logarithm<T>(u) + (x - (u - T(1))) / u;
  return (u == T(0)) | (u == std::numeric_limits<T>::infinity()) ? logarithm<T>(u) : r;
}

template <class T>
inline Vec<T> floor(Vec<T> x) {
  const T whole = T(typename Of<T>::Word(1) << Of<T>::mantissa);  // from here on every number is whole
  const Vec<T> near = (x + Constants<T>::magic) - Constants<T>::magic;
  const Vec<T> below = near > x ? near - T(1) : near;
  const Vec<T> kept = absolute<T>(x) < whole / T(4) ? below : x;
  if constexpr (sizeof(T) == 8) {
    return kept;
  } else {  // between 2^21 and 2^23 the trick above rounds to no whole number
    Vec<T> exact = kept;
    for (int i = 0; i < lanes<T>; i++) exact[i] = std::floor(x[i]);
    return exact;
  }
}

template <class T>
inline Vec<T> square_root(Vec<T> x) {
  Vec<T> r;
  for (int i = 0; i < lanes<T>; i++) r[i] = std::sqrt(x[i]);
  return r;
}

// The nearest bfloat16, ties to even.
template <class T>
inline Vec<T> bfloat16(Vec<T> x) {
  if constexpr (sizeof(T) == 8) {
    for (int i = 0; i < lanes<T>; i++) {
      const float narrow = float(x[i]);
      x[i] = bfloat16<float>(all<float>(narrow))[0];
    }
    return x;
  } else {
    const Int<T> word = bits<T>(x), odd = (word >> 16) & 1;
    const Vec<T> near = (Vec<T>)((word + (odd + 0x7fff)) & (~Int<T>{} << 16));
    return x != x ? x : near;
  }
}

template <class T>
inline Vec<T> sign(Vec<T> x) {
  const Vec<T> zero = all<T>(T(0)), one = all<T>(T(1));
  const Vec<T> r = (x > zero ? one : zero) - (x < zero ? one : zero);
  return x != x ? x : r;
}

}  // namespace RNNX_TARGET
}  // namespace rnnx
