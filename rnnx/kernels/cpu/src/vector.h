// Vectors of the compiler, as wide as the instruction set of this translation unit; every line reads like the scalar.
#pragma once
#include <cstdint>
#include <cstring>

#ifndef RNNX_BYTES
#define RNNX_BYTES 16  // of a vector register
#endif

namespace rnnx {
inline namespace RNNX_TARGET {

template <class T>
struct Of;
template <>
struct Of<float> {
  typedef float V __attribute__((vector_size(RNNX_BYTES)));
  typedef int32_t I __attribute__((vector_size(RNNX_BYTES)));
  using Word = int32_t;
  static constexpr int mantissa = 23, bias = 127;
};
template <>
struct Of<double> {
  typedef double V __attribute__((vector_size(RNNX_BYTES)));
  typedef int64_t I __attribute__((vector_size(RNNX_BYTES)));
  using Word = int64_t;
  static constexpr int mantissa = 52, bias = 1023;
};

template <class T>
using Vec = typename Of<T>::V;
template <class T>
using Int = typename Of<T>::I;
template <class T>
constexpr int lanes = RNNX_BYTES / sizeof(T);

template <class T>
inline Vec<T> load(const T* p) {
  Vec<T> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class T>
inline void store(T* p, Vec<T> v) {
  std::memcpy(p, &v, sizeof v);
}
template <class T>
inline Vec<T> all(T a) {
  return a - Vec<T>{};  // not the sum: that makes +0 of -0
}
template <class T>
inline Int<T> bits(Vec<T> v) {
  return (Int<T>)v;
}

}  // namespace RNNX_TARGET
}  // namespace rnnx
