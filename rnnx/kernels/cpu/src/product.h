// Matrix products of a few rows with packed weights, and the outer products of weight gradients.
#pragma once
#include "vector.h"

namespace rnnx {
inline namespace RNNX_TARGET {

// Rows that a tile takes at a time: as many as leave registers for two vectors of weights.
constexpr int most_rows = RNNX_BYTES == 64 ? 12 : RNNX_BYTES == 32 ? 6 : 5;

// A stretch of the dimension that is summed over: rows `a + row * stride`, `length` numbers each.
template <class T>
struct Segment {
  const T* a;
  int64_t stride, length;
};

// Some columns of a product, at most two vectors wide, with their weights in the order they are read.
template <class T>
struct Panel {
  const T* packed;  // [depth, vectors * lanes], zeros beyond `width`
  const T* start;   // [vectors * lanes] what the sum starts from, or null for 0
  int vectors, width;
};

// Sums to c, added to what is there or not; columns beyond `width` are left alone.
template <class T, int R, int W>
inline __attribute__((always_inline)) void put(const Vec<T> (&sum)[R][W], T* c, int64_t stride, int width,
                                               bool accumulate) {
  constexpr int L = lanes<T>;
  if (width == W * L && !accumulate) {
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int w = 0; w < W; w++) store<T>(c + r * stride + w * L, sum[r][w]);
  } else if (width == W * L) {
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int w = 0; w < W; w++) {
        T* to = c + r * stride + w * L;
        store<T>(to, load(to) + sum[r][w]);
      }
  } else {
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      T edge[W * L];
#pragma GCC unroll 2
      for (int w = 0; w < W; w++) store<T>(edge + w * L, sum[r][w]);
      T* to = c + r * stride;
      for (int i = 0; i < width; i++) to[i] = accumulate ? to[i] + edge[i] : edge[i];
    }
  }
}

// How many sums a row's product is spread over. A multiply-add takes some cycles, and those of one or two rows alone would
// wait for each other. Depends on the rows of the tile only, so that a batch of its size always gives the same bits.
template <int R, int W>
constexpr int chains = R > 2 ? 1 : R * W > 2 ? 2 : 4;

template <class T, int R, int W>
inline void tile(const Segment<T>* segments, int count, int64_t row, const Panel<T>& panel, T* c, int64_t stride,
                 bool accumulate) {
  constexpr int L = lanes<T>, S = chains<R, W>;
  Vec<T> sum[S][R][W];
#pragma GCC unroll 4
  for (int i = 0; i < S; i++)
#pragma GCC unroll 2
    for (int w = 0; w < W; w++) {
      const Vec<T> start = panel.start && i == 0 ? load(panel.start + w * L) : Vec<T>{};
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) sum[i][r][w] = start;
    }
  const T* p = panel.packed;
  for (int s = 0; s < count; s++) {
    const int64_t lda = segments[s].stride, length = segments[s].length;
    const T* a = segments[s].a + row * lda;
    const auto add = [&](Vec<T>(&to)[R][W], int64_t k) __attribute__((always_inline)) {
      Vec<T> b[W];
#pragma GCC unroll 2
      for (int w = 0; w < W; w++) b[w] = load(p + w * L);
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) {
        const Vec<T> x = all<T>(a[r * lda + k]);
#pragma GCC unroll 2
        for (int w = 0; w < W; w++) to[r][w] += x * b[w];
      }
      p += W * L;
    };
    int64_t k = 0;
    if constexpr (S > 1)
      for (; k + S <= length; k += S)
#pragma GCC unroll 4
        for (int i = 0; i < S; i++) add(sum[i], k + i);
    for (; k < length; k++) add(sum[0], k);
  }
#pragma GCC unroll 4
  for (int i = 1; i < S; i++)
#pragma GCC unroll 16
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int w = 0; w < W; w++) sum[0][r][w] += sum[i][r][w];
  put<T, R, W>(sum[0], c, stride, panel.width, accumulate);
}

template <class T, int R, int W>
inline void tiles(int rows, const Segment<T>* segments, int count, int64_t row, const Panel<T>& panel, T* c,
                  int64_t stride, bool accumulate) {
  if constexpr (R > 0) {
    if (rows == R) return tile<T, R, W>(segments, count, row, panel, c, stride, accumulate);
    tiles<T, R - 1, W>(rows, segments, count, row, panel, c, stride, accumulate);
  }
}

// c[r, :width] = start + sum over segments of a[r] times the panel, or that added to c.
template <class T>
inline void multiply(const Segment<T>* segments, int count, int64_t rows, const Panel<T>& panel, T* c, int64_t stride,
                     bool accumulate) {
  const int64_t blocks = (rows + most_rows - 1) / most_rows;
  for (int64_t i = 0; i < blocks; i++) {
    const int64_t from = rows * i / blocks;
    const int some = int(rows * (i + 1) / blocks - from);
    if (panel.vectors == 2)
      tiles<T, most_rows, 2>(some, segments, count, from, panel, c + from * stride, stride, accumulate);
    else
      tiles<T, most_rows, 1>(some, segments, count, from, panel, c + from * stride, stride, accumulate);
  }
}

// What a weight gradient sums over: `steps` times `rows` pairs of a row a and a row g.
template <class T>
struct Pairs {
  const T* const* a;  // of each step
  int64_t a_stride;   // from row to row
  const T* g;
  int64_t g_stride, g_step;
  int64_t steps, rows;
};

template <class T, int R, int W>
inline void outer_tile(const Pairs<T>& pairs, int64_t row, T* c, int64_t stride, int width, bool accumulate) {
  constexpr int L = lanes<T>;
  Vec<T> sum[R][W] = {};
  for (int64_t t = 0; t < pairs.steps; t++) {
    const T* a = pairs.a[t] + row;
    const T* g = pairs.g + t * pairs.g_step;
    for (int64_t m = 0; m < pairs.rows; m++, a += pairs.a_stride, g += pairs.g_stride) {
      Vec<T> b[W];
#pragma GCC unroll 2
      for (int w = 0; w < W; w++) b[w] = load(g + w * L);
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) {
        const Vec<T> x = all<T>(a[r]);
#pragma GCC unroll 2
        for (int w = 0; w < W; w++) sum[r][w] += x * b[w];
      }
    }
  }
  put<T, R, W>(sum, c, stride, width, accumulate);
}

template <class T, int R, int W>
inline void outer_tiles(int rows, const Pairs<T>& pairs, int64_t row, T* c, int64_t stride, int width,
                        bool accumulate) {
  if constexpr (R > 0) {
    if (rows == R) return outer_tile<T, R, W>(pairs, row, c, stride, width, accumulate);
    outer_tiles<T, R - 1, W>(rows, pairs, row, c, stride, width, accumulate);
  }
}

// c[i, :width] (+)= sum over pairs of a[first + i] g[:width], for i < `rows`. Reads up to two vectors of g.
template <class T>
inline void outer(const Pairs<T>& pairs, int64_t first, int64_t rows, T* c, int64_t stride, int vectors, int width, bool accumulate) {
  const int64_t blocks = (rows + most_rows - 1) / most_rows;
  for (int64_t i = 0; i < blocks; i++) {
    const int64_t from = rows * i / blocks;
    const int some = int(rows * (i + 1) / blocks - from);
    if (vectors == 2)
      outer_tiles<T, most_rows, 2>(some, pairs, first + from, c + from * stride, stride, width, accumulate);
    else
      outer_tiles<T, most_rows, 1>(some, pairs, first + from, c + from * stride, stride, width, accumulate);
  }
}

}  // namespace RNNX_TARGET
}  // namespace rnnx
